"""Positions of the neighbours of a block."""

from collections.abc import Iterable

from geoseg.grid.tiling import Block, Tiling

Place = tuple[int, int]
"""Row and column of a block among the blocks of a scene."""

NEIGHBOUR_STEPS = tuple((down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if down or right)
"""Steps to the eight neighbours of a block."""

SPILL_STEPS = ((0, -1), (-1, 0), (-1, -1))
"""Steps to the blocks that spill into a block."""


def blocks_at(tiling: Tiling, block: Block, steps: Iterable[Place]) -> dict[Place, Block]:
    """The neighbouring blocks at the given steps, by step; steps that leave the scene are omitted."""
    places = {step: (block.row + step[0], block.col + step[1]) for step in steps}
    return {
        step: tiling.block(row, col)
        for step, (row, col) in places.items()
        if 0 <= row < tiling.block_rows and 0 <= col < tiling.block_cols
    }
