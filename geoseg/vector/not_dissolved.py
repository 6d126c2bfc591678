"""Classes whose polygons stay cut at the lattice, e.g. a background that covers the whole scene.

In every second cell of the lattice, as on a chessboard, such a class has an alias id, counted down from 254. So cells
that share a side have different ids, and cells that meet in a corner are not connected anyway.
"""

import numpy as np
from numpy.typing import NDArray

from geoseg.grid.window import Window

LAST_ALIAS = 254
"""Alias of the first class; the next classes have the ids below it."""


def split_at_grid(
    classes: NDArray[np.uint8], core: Window, cut_px: int, not_dissolved: tuple[int, ...]
) -> NDArray[np.uint8]:
    """Replace the classes that are not dissolved by their alias in odd cells.

    Args:
        classes: Class ids, shape (H, W) of ``core``; none is above ``254 - len(not_dissolved)`` but nodata, 255.
        core: The block's window in the scene.
        cut_px: Side of a cell.
        not_dissolved: Classes whose polygons stay cut at the lattice.
    """
    if not not_dissolved:
        return classes
    rows = np.arange(core.row, core.row_stop) // cut_px
    cols = np.arange(core.col, core.col_stop) // cut_px
    odd = (rows[:, None] + cols) % 2 == 1
    split = classes.copy()
    for index, class_id in enumerate(not_dissolved):
        split[odd & (classes == class_id)] = LAST_ALIAS - index
    return split


def without_aliases(classes: NDArray[np.uint8], not_dissolved: tuple[int, ...]) -> NDArray[np.uint8]:
    """Replace each alias by its class; ``classes`` has any shape."""
    if not not_dissolved:
        return classes
    class_of = np.arange(256, dtype=np.uint8)
    for index, class_id in enumerate(not_dissolved):
        class_of[LAST_ALIAS - index] = class_id
    return class_of[classes]
