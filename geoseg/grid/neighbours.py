"""Positions of the neighbours of a block."""

from collections.abc import Iterable

from geoseg.grid.tiling import Block, Tiling

Place = tuple[int, int]
"""Row and column of a block among the blocks of a scene."""

NEIGHBOUR_STEPS = tuple((down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if down or right)
"""Steps to the eight neighbours of a block."""

SPILL_STEPS = ((0, -1), (-1, 0), (-1, -1))
"""Steps to the blocks that spill into a block."""


def steps_inside(tiling: Tiling, place: Place, steps: Iterable[Place]) -> dict[Place, Place]:
    """Places of the neighbours at the given steps from a block, by step; steps that leave the scene are omitted."""
    places = {step: (place[0] + step[0], place[1] + step[1]) for step in steps}
    return {
        step: (row, col)
        for step, (row, col) in places.items()
        if 0 <= row < tiling.block_rows and 0 <= col < tiling.block_cols
    }


def blocks_at(tiling: Tiling, block: Block, steps: Iterable[Place]) -> dict[Place, Block]:
    """The neighbouring blocks at the given steps, by step."""
    places = steps_inside(tiling, (block.row, block.col), steps)
    return {step: tiling.block(*place) for step, place in places.items()}
