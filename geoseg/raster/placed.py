"""A file on the grid of a scene: its pixels copied, brought to another resolution, or warped in cells."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from geoseg.grid.window import Grid, Window
from geoseg.raster.bands import BandSelection
from geoseg.raster.mosaic.composite import Resampling
from geoseg.raster.mosaic.placement import needed, offset_px
from geoseg.raster.mosaic.resample import Taps, find_taps, resample
from geoseg.raster.mosaic.warp import margin_px, warp
from geoseg.raster.source.cells import CellCache, Pixels, ReadCell, cut_from_cells
from geoseg.raster.source.env import gdal_env
from geoseg.raster.source.scene import Scene

READ_BYTES = 64 << 20
"""Cells that need no more of a file than this are read at once: opening it for each would take longer than warping."""
Read = Callable[[Scene, BandSelection, Window], Pixels]
"""Reads a window of a scene of one file: values, shape (C, H, W), and their validity, shape (H, W)."""

_CELLS = CellCache()


@dataclass(frozen=True, slots=True)
class PlacedFile:
    """Bands of a file on the grid of a scene."""

    file: Scene
    selection: BandSelection
    grid: Grid
    """Grid of the scene."""
    resampling: Resampling
    shift: int
    """Added to stored values, which end at 0 then."""

    def read(self, window: Window, read: Read) -> Pixels:
        """Read a window of the scene: values, shape (C, H, W), and validity, shape (H, W)."""
        own = own_window(self.file.grid, self.grid, window)
        if own is not None:
            return self._shifted(*read(self.file, self.selection, own))
        taps = find_taps(self.file.grid, self.grid, window, self.resampling)
        if taps is not None:
            return self._resample(window, taps, read)
        # The cell's position and this value are all that its pixels depend on.
        shape = self.grid.window.shape
        values, valid = cut_from_cells(window, shape, self, partial(self._open_cells, read), _CELLS)
        return values, valid[0]

    def _resample(self, window: Window, taps: tuple[Taps, Taps], read: Read) -> Pixels:
        """Bring pixels to another resolution; part by part if they are far finer than those of the scene."""
        (top, bottom), (left, right) = (axis.span for axis in taps)
        source = Window.from_bounds(top, left, bottom, right)
        if self._bytes(source) <= READ_BYTES or window.height == 1:
            return resample(*self._shifted(*read(self.file, self.selection, source)), *taps)
        half = window.row + window.height // 2
        halves = (window.row, half), (half, window.row_stop)
        parts = [self.read(Window.from_bounds(row, window.col, stop, window.col_stop), read) for row, stop in halves]
        values, valid = zip(*parts, strict=True)
        return np.concatenate(values, axis=1), np.concatenate(valid)

    @contextmanager
    def _open_cells(self, read: Read, cells: Sequence[Window]) -> Iterator[ReadCell]:
        """Yield a function that warps one of some cells, which are asked for in their order."""
        groups = self._together(cells)
        members, window = next(groups)
        pixels: Pixels | None = None

        def warp_cell(cell: Window) -> Pixels:
            nonlocal members, window, pixels
            while cell not in members:
                (members, window), pixels = next(groups), None
            if window is None:
                shape = (len(self.selection.bands), *cell.shape)
                return np.zeros(shape, self.selection.dtype(self.file)), np.zeros((1, *cell.shape), np.bool_)
            pixels = pixels or self._shifted(*read(self.file, self.selection, window))
            return self._warp(cell, window, *pixels)

        with gdal_env():
            yield warp_cell

    def _together(self, cells: Sequence[Window]) -> Iterator[tuple[Sequence[Window], Window | None]]:
        """Cells whose pixels are read together, and the window of the file that has them; None if it has none."""
        around = None
        for window in filter(None, map(self._needed, cells)):
            around = window if around is None else around.around(window)
        if len(cells) == 1 or around is None or self._bytes(around) <= READ_BYTES:
            yield cells, around
            return
        half = len(cells) // 2
        yield from self._together(cells[:half])
        yield from self._together(cells[half:])

    def _bytes(self, window: Window) -> int:
        return window.pixels * len(self.selection.bands) * self.selection.dtype(self.file).itemsize

    def _needed(self, cell: Window) -> Window | None:
        return needed(cell, self.grid, self.file.grid, margin_px(self.file.grid, self.grid, self.resampling))

    def _warp(self, cell: Window, read: Window, pixels: NDArray[np.number], valid: NDArray[np.bool_]) -> Pixels:
        """Warp a cell from a window that holds what it needs; validity has the shape (1, H, W)."""
        window = self._needed(cell)
        if window is None:
            return np.zeros((len(pixels), *cell.shape), pixels.dtype), np.zeros((1, *cell.shape), np.bool_)
        at = window.slices(read)
        values, found = warp(pixels[:, *at], valid[at], self.file.grid, window, self.grid, cell, self.resampling)
        return values, found[None]

    def _shifted(self, pixels: NDArray[np.number], valid: NDArray[np.bool_]) -> Pixels:
        """The values with the shift added, at least 0."""
        if not self.shift:
            return pixels, valid
        shifted = np.maximum(pixels.astype(np.float64) + self.shift, 0)
        return shifted.astype(pixels.dtype), valid


def own_window(child: Grid, grid: Grid, window: Window) -> Window | None:
    """The window of a file that is ``window`` of the scene, if the pixels are the same."""
    start = offset_px(child, grid)
    return None if start is None else replace(window, row=window.row - start[0], col=window.col - start[1])
