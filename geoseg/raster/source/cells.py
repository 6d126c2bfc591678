"""Read fixed cells of a scene's grid, so that a pixel depends on its position only and not on the window.

When GDAL warps, resamples or filters, the result depends on the origin of the window that is read. Here each cell is
always read as a whole, and windows are cut out of the cells.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager, nullcontext
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.grid.window import Window

CELL_PX = 256
"""Side of a cell. Smaller cells cost more resampling at their edges, larger ones more unused pixels around a window."""
CELL_CACHE_BYTES = 64 << 20
"""Size of a process's cell cache: enough for the cells that neighbouring blocks share, not for a scene."""

Pixels = tuple[NDArray[np.number], NDArray[np.bool_]]
"""Values, shape (C, H, W), and their masks, shape (M, H, W), True = valid."""
ReadCell = Callable[[Window], Pixels]
"""Reads a whole cell."""


class CellCache:
    """LRU cache of cells, limited in bytes. Thread-safe."""

    def __init__(self, limit_bytes: int = CELL_CACHE_BYTES) -> None:
        """Create an empty cache."""
        self._limit_bytes, self._bytes = limit_bytes, 0
        self._cells: OrderedDict[Hashable, Pixels] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable) -> Pixels | None:
        """Return a cached cell, or None."""
        with self._lock:
            if key in self._cells:
                self._cells.move_to_end(key)
            return self._cells.get(key)

    def put(self, key: Hashable, cell: Pixels) -> None:
        """Add a cell; evict the least recently used ones if the cache is full."""
        with self._lock:
            if key in self._cells:  # another thread has read it as well
                return
            self._cells[key] = cell
            self._bytes += _size_bytes(cell)
            while self._bytes > self._limit_bytes:
                self._bytes -= _size_bytes(self._cells.popitem(last=False)[1])


def cells_of(window: Window, shape: tuple[int, int]) -> list[Window]:
    """List the cells that a window touches, row by row, clipped to a grid of ``shape`` (H, W)."""
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
    open_source: Callable[[Sequence[Window]], AbstractContextManager[ReadCell]],
    cache: CellCache,
) -> Pixels:
    """Assemble a window from whole cells.

    Args:
        window: Window to read, inside the grid.
        shape: Height and width of the grid. The first cell starts at its first pixel.
        source: Cache key of the source: everything except the position that the pixels of a cell depend on.
        open_source: Opens the source for reading the given cells, in their order; called if there are any that are not
            in the cache.
        cache: Cells that were read before.

    Returns:
        Values and masks of the window.

    Raises:
        ValueError: If the window lies outside the grid.
    """
    result: Pixels | None = None
    # None where the window reaches outside the grid.
    parts = {cell: common for cell in cells_of(window, shape) if (common := cell.intersect(window)) is not None}
    known = {cell: pixels for cell in parts if (pixels := cache.get((source, cell))) is not None}
    missing = [cell for cell in parts if cell not in known]
    with open_source(missing) if missing else nullcontext(known.pop) as read:
        for cell, common in parts.items():
            pixels = known.pop(cell, None) or read(cell)
            cache.put((source, cell), pixels)
            values, masks = result = result or (_empty_like(pixels[0], window), _empty_like(pixels[1], window))
            target, part = common.slices(window), common.slices(cell)
            values[:, *target], masks[:, *target] = pixels[0][:, *part], pixels[1][:, *part]
    if result is None:
        raise ValueError(f"{window} lies outside a grid of {shape}.")
    return result


def _empty_like(cell: NDArray[Any], window: Window) -> NDArray[Any]:
    return np.empty((len(cell), *window.shape), cell.dtype)


def _size_bytes(cell: Pixels) -> int:
    return sum(part.nbytes for part in cell)
