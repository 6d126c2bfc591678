"""A quality band beside a scene: classes or flags that tell which pixels are cloud, shadow or fill."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import RasterioIOError
from scipy.ndimage import maximum_filter

from geoseg.errors import SceneError, UnreachableError
from geoseg.grid.window import Grid, Window
from geoseg.raster.source.cells import CellCache, Pixels, ReadCell, cut_from_cells
from geoseg.raster.source.env import open_raster
from geoseg.raster.source.scene import Scene
from geoseg.raster.validity.lookup import NOWHERE, find_pixels

STRIP_ROWS = 512
"""Rows of a window that are looked up together."""

_CACHE = CellCache()


@dataclass(frozen=True, slots=True)
class Quality:
    """Which pixels of a scene a quality band rules out. Built by `geoseg.raster.validity.quality_file`."""

    grid: Grid
    """Grid of the scene."""
    source: Scene
    """The raster with the quality band, on any grid. A pixel of the scene takes its value at the pixel's centre."""
    band: int
    """The quality band, counted from 1. Its nodata pixels are ruled out too."""
    invalid: tuple[float, ...] = ()
    """Values of pixels that are ruled out."""
    bits: tuple[int, ...] = ()
    """Pixels with any of these bits are ruled out; bit 0 is the lowest."""
    grow_px: int = 0
    """Pixels of the scene within this distance on both axes of a pixel that is ruled out are ruled out too."""

    def mask(self, window: Window) -> NDArray[np.bool_]:
        """False for the pixels of a window that are ruled out; shape of the window.

        Raises:
            SceneError: If the quality band cannot be read there.
        """
        grow = self.grow_px
        around = Window(window.row - grow, window.col - grow, window.height + 2 * grow, window.width + 2 * grow)
        read = around.intersect(self.grid.window)
        if read is None:
            raise ValueError(f"{window} lies outside the scene, {self.grid.window}.")
        bad, beyond = np.empty(read.shape, np.bool_), np.empty(read.shape, np.bool_)
        for row in range(read.row, read.row_stop, STRIP_ROWS):
            strip = Window(row, read.col, min(STRIP_ROWS, read.row_stop - row), read.width)
            bad[strip.slices(read)], beyond[strip.slices(read)] = self._ruled_out(strip)
        if grow:
            bad = maximum_filter(bad, size=2 * grow + 1, mode="constant", cval=0)
        return ~(bad | beyond)[window.slices(read)]

    def rules_out(self, values: NDArray[np.number]) -> NDArray[np.bool_]:
        """True for values of the quality band that are ruled out; same shape."""
        bad = np.isin(values, np.array(self.invalid).astype(values.dtype))
        if self.bits:
            bad |= values & np.array(sum(1 << bit for bit in self.bits)).astype(values.dtype) != 0
        return bad

    def read(self, window: Window) -> tuple[NDArray[np.number], NDArray[np.bool_]]:
        """Values of a window of the quality raster, and False where they are nodata; both of shape (H, W).

        Raises:
            SceneError: If they cannot be read.
        """
        try:
            if self.source.in_cells:
                shape = self.source.grid.window.shape
                values, known = cut_from_cells(window, shape, (self.source, self.band), lambda _: self._open(), _CACHE)
            else:
                with self._open() as read:
                    values, known = read(window)
        except RasterioIOError as error:
            kind = UnreachableError if self.source.remote else SceneError
            raise kind(
                f"The quality band {self.source.path} cannot be read at {window}: {error.__cause__ or error}. The "
                "connection failed or the file is damaged: run the same command again, or fetch the file first."
            ) from error
        return values[0], known[0]

    def _ruled_out(self, window: Window) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Pixels of the scene that are ruled out and grow; and those beside the quality raster, which do not."""
        height, width = self.source.grid.window.shape
        rows, cols = find_pixels(self.grid, self.source.grid, window)
        # At its edge the raster may be half a pixel short of the scene.
        nowhere = (rows <= NOWHERE) | (rows > height) | (cols <= NOWHERE) | (cols > width)
        rows, cols = np.clip(rows, 0, height - 1), np.clip(cols, 0, width - 1)
        part = Window.from_bounds(int(rows.min()), int(cols.min()), int(rows.max()) + 1, int(cols.max()) + 1)
        values, known = self.read(part)
        bad = self.rules_out(values) | ~known
        beyond = np.broadcast_to(nowhere, window.shape)
        return bad[rows - part.row, cols - part.col] & ~beyond, beyond

    @contextmanager
    def _open(self) -> Iterator[ReadCell]:
        source = self.source
        # Overviews can be older than the raster.
        with open_raster(source.path, driver=source.driver, remote=source.remote, OVERVIEW_LEVEL="NONE") as dataset:

            def read(window: Window) -> Pixels:
                values = dataset.read([self.band], window=window.ranges)
                return values, dataset.read_masks([self.band], window=window.ranges) != 0

            yield read
