"""Classes whose polygons stay cut at the lattice, such as a background that covers the whole scene.

In every second cell of the lattice, as on a chessboard, such a class goes by another id, counted down from 254. Cells
that share a side then differ, and cells that meet in a corner are not connected anyway.
"""

import numpy as np
from numpy.typing import NDArray

from geoseg.grid.window import Window

LAST_ALIAS = 254


def split_at_grid(
    classes: NDArray[np.uint8], core: Window, cut_px: int, not_dissolved: tuple[int, ...]
) -> NDArray[np.uint8]:
    """Give the pixels of not_dissolved classes their alias where they lie in an odd cell.

    Args:
        classes: Class ids, shape (H, W) of ``core``; none is above ``254 - len(not_dissolved)`` but nodata, 255.
        core: The block's window in the scene.
        cut_px: Side of a cell.
        not_dissolved: Classes that stay cut.
    """
    if not not_dissolved:
        return classes
    rows = np.arange(core.row, core.row_stop) // cut_px
    cols = np.arange(core.col, core.col_stop) // cut_px
    odd = (rows[:, None] + cols) % 2 == 1
    split = classes.copy()
    for place, class_id in enumerate(not_dissolved):
        split[odd & (classes == class_id)] = LAST_ALIAS - place
    return split


def without_aliases(classes: NDArray[np.uint8], not_dissolved: tuple[int, ...]) -> NDArray[np.uint8]:
    """Give every alias its class back; class ids of any shape."""
    if not not_dissolved:
        return classes
    names = np.arange(256, dtype=np.uint8)
    for place, class_id in enumerate(not_dissolved):
        names[LAST_ALIAS - place] = class_id
    return names[classes]
