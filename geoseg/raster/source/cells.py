"""Read by fixed cells of a scene's grid, so that a pixel depends on its place alone and not on the window.

GDAL warps, resamples and filters a window by arithmetic that begins at the window: another window gives other pixels.
Here each cell is always read as a whole, and windows are cut out of the cells.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, ExitStack
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.grid.window import Window

CELL_PX = 256
"""Side of a cell. Smaller ones cost more at their own rims, larger ones at those of the windows."""
KEPT_BYTES = 64 << 20
"""Cells that a process keeps: those that the blocks beside the last ones need again, not a scene."""

Pixels = tuple[NDArray[np.number], NDArray[np.bool_]]
"""Values, shape (C, H, W), and the masks that come with them, True = valid, shape (M, H, W)."""
ReadCell = Callable[[Window], Pixels]
"""Reads a whole cell."""


class KeptCells:
    """The cells that were asked for last, up to a number of bytes. Threads may share it."""

    def __init__(self, limit_bytes: int = KEPT_BYTES) -> None:
        """Keep nothing yet."""
        self._limit_bytes, self._bytes = limit_bytes, 0
        self._cells: OrderedDict[Hashable, Pixels] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable) -> Pixels | None:
        """A cell that was put there, unless others have taken its place."""
        with self._lock:
            if key in self._cells:
                self._cells.move_to_end(key)
            return self._cells.get(key)

    def put(self, key: Hashable, cell: Pixels) -> None:
        """Keep a cell instead of those that were not asked for the longest."""
        with self._lock:
            if key in self._cells:  # another thread was faster
                return
            self._cells[key] = cell
            self._bytes += _size_bytes(cell)
            while self._bytes > self._limit_bytes:
                self._bytes -= _size_bytes(self._cells.popitem(last=False)[1])


def cells_of(window: Window, shape: tuple[int, int]) -> list[Window]:
    """The cells that a window touches, row by row; at the rim of a grid of ``shape``, (H, W), they end with it."""
    height, width = shape
    return [
        Window.from_bounds(row, col, min(row + CELL_PX, height), min(col + CELL_PX, width))
        for row in range(window.row // CELL_PX * CELL_PX, window.row_stop, CELL_PX)
        for col in range(window.col // CELL_PX * CELL_PX, window.col_stop, CELL_PX)
    ]


def cut_from_cells(
    window: Window,
    shape: tuple[int, int],
    source: Hashable,
    open_source: Callable[[], AbstractContextManager[ReadCell]],
    kept: KeptCells,
) -> Pixels:
    """Put a window together from whole cells.

    Args:
        window: What is wanted, inside the grid.
        shape: Height and width of the grid, whose first pixel is the first cell's.
        source: All that the pixels of a cell depend on beside its place; names them in ``kept``.
        open_source: Gives what reads cells; only called if one of them is not kept.
        kept: Cells that were read before.

    Returns:
        Values and masks of the window.
    """
    result: Pixels | None = None
    with ExitStack() as opened:
        read: ReadCell | None = None
        for cell in cells_of(window, shape):
            if (common := cell.intersect(window)) is None:
                continue  # the window reaches outside the grid
            found = kept.get((source, cell))
            if found is None:
                read = read or opened.enter_context(open_source())
                found = read(cell)
                kept.put((source, cell), found)
            values, masks = result = result or (_like(found[0], window), _like(found[1], window))
            whole, part = common.slices(window), common.slices(cell)
            values[:, *whole], masks[:, *whole] = found[0][:, *part], found[1][:, *part]
    if result is None:
        raise ValueError(f"{window} lies outside a grid of {shape}.")
    return result


def _like(cell: NDArray[Any], window: Window) -> NDArray[Any]:
    return np.empty((len(cell), *window.shape), cell.dtype)


def _size_bytes(cell: Pixels) -> int:
    return sum(part.nbytes for part in cell)
