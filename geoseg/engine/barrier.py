"""Which block may go on when: each waits for some of its neighbours."""

from collections.abc import Iterable, Iterator

from geoseg.grid.neighbours import Place
from geoseg.grid.tiling import Tiling


class NeighbourBarrier:
    """Takes in blocks and lets a block through once those it waits for have arrived."""

    def __init__(self, tiling: Tiling, steps: Iterable[Place]) -> None:
        """Make a gate; ``steps`` tell where the blocks lie that a block waits for, with (0, 0) itself too."""
        self._rows, self._cols = tiling.block_rows, tiling.block_cols
        # A byte for each block, with one more on all sides, where nothing is waited for.
        self._width = self._cols + 2
        self._steps = [down * self._width + right for down, right in steps]
        self._arrived = bytearray(b"\1") * ((self._rows + 2) * self._width)
        for row in range(self._rows):
            start = self._index((row, 0))
            self._arrived[start : start + self._cols] = bytes(self._cols)

    def arrive(self, place: Place) -> Iterator[Place]:
        """Take in a block; the blocks that waited for it and for nothing else any more."""
        here = self._index(place)
        self._arrived[here] = True
        for step in self._steps:
            row, col = divmod(here - step, self._width)
            waiting = row - 1, col - 1
            if 0 <= waiting[0] < self._rows and 0 <= waiting[1] < self._cols and self.is_open(waiting):
                yield waiting

    def is_open(self, place: Place) -> bool:
        """Tell whether all that a block waits for has arrived."""
        here = self._index(place)
        return all(self._arrived[here + step] for step in self._steps)

    def _index(self, place: Place) -> int:
        return (place[0] + 1) * self._width + place[1] + 1
