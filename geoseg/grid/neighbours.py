"""Positions of a block's neighbours."""

from collections.abc import Iterable

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
