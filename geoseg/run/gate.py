"""Which block may go on when: each waits for some of its neighbours."""

from collections.abc import Iterable, Iterator

from geoseg.grid.tiling import Block, Tiling

Place = tuple[int, int]
"""Row and column of a block among the blocks of a scene."""

AROUND = tuple((down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if down or right)
"""Steps to the eight neighbours of a block."""

BEFORE = ((0, -1), (-1, 0), (-1, -1))
"""Steps to the blocks that spill into a block."""


def steps_inside(tiling: Tiling, place: Place, steps: Iterable[Place]) -> dict[Place, Place]:
    """The places that steps from a block lead to, by step, as far as the scene holds them."""
    found = {step: (place[0] + step[0], place[1] + step[1]) for step in steps}
    return {
        step: (row, col)
        for step, (row, col) in found.items()
        if 0 <= row < tiling.block_rows and 0 <= col < tiling.block_cols
    }


def blocks_at(tiling: Tiling, block: Block, steps: Iterable[Place]) -> dict[Place, Block]:
    """The neighbours of a block, by step."""
    places = steps_inside(tiling, (block.row, block.col), steps)
    return {step: tiling.block(*place) for step, place in places.items()}


class Gate:
    """Takes in blocks and lets a block through once those it waits for have arrived."""

    def __init__(self, tiling: Tiling, steps: Iterable[Place]) -> None:
        """Make a gate; ``steps`` tell where the blocks lie that a block waits for, with (0, 0) itself too."""
        self._tiling, self._steps = tiling, tuple(steps)
        self._arrived: set[Place] = set()

    def arrive(self, place: Place) -> Iterator[Place]:
        """Take in a block; the blocks that waited for it and for nothing else any more."""
        self._arrived.add(place)
        back = [(-down, -right) for down, right in self._steps]
        for waiting in steps_inside(self._tiling, place, back).values():
            if self.is_open(waiting):
                yield waiting

    def is_open(self, place: Place) -> bool:
        """Tell whether all that a block waits for has arrived."""
        return all(needed in self._arrived for needed in steps_inside(self._tiling, place, self._steps).values())
