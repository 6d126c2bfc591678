"""Rasters of class numbers on the grid of a class map."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from rasterio.errors import RasterioIOError
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterioWindow

from geoseg.errors import SceneError, SettingsError
from geoseg.evaluate.class_mapping import NO_LABEL, ClassMapping
from geoseg.grid.window import Grid, Window
from geoseg.publish.geodesy.crs import transformer
from geoseg.raster.maps.class_map import value_names
from geoseg.raster.source.env import open_raster

MAX_PIXELS = 1 << 24
"""Pixels of a label raster that are read at a time; finer labels are read for a part of a window after the other."""

ToLabels = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""From ``(col, row)`` of the class map to ``(col, row)`` of the labels, shape (..., 2)."""


@dataclass(frozen=True, slots=True)
class LabelRaster:
    """An open raster of class numbers."""

    path: Path
    dataset: DatasetReader
    names: dict[int, str]
    """Names of numbers, from its tags."""
    to_labels: ToLabels
    mapping: ClassMapping

    def read(self, window: Window) -> NDArray[np.int16]:
        """Compared class of the nearest pixel of the raster.

        A pixel of the class map takes the label in whose pixel its middle lies, so windows do not matter.

        Returns:
            int16, shape of the window; 255 for ``ignore``, -1 where there is no label.

        Raises:
            SceneError: If the raster cannot be read there.
            SettingsError: If a value stands for no class.
        """
        middles = np.stack(np.meshgrid(*(np.arange(*span) + 0.5 for span in window.ranges[::-1])), axis=-1)
        with np.errstate(invalid="ignore"):  # a place without a position in the other CRS
            place = np.floor(self.to_labels(middles))
            col, row = place[..., 0], place[..., 1]
            inside = (col >= 0) & (col < self.dataset.width) & (row >= 0) & (row < self.dataset.height)
        ids = np.full(window.shape, NO_LABEL, np.int16)
        if not inside.any():
            return ids
        rows, cols = row[inside].astype(np.intp), col[inside].astype(np.intp)
        part = Window.from_bounds(rows.min(), cols.min(), rows.max() + 1, cols.max() + 1)
        if part.pixels > MAX_PIXELS and window.pixels > 1:
            for half in _halves(window):
                ids[half.slices(window)] = self.read(half)
            return ids
        ids[inside] = self._read_part(part)[rows - part.row, cols - part.col]
        return ids

    def _read_part(self, part: Window) -> NDArray[np.int16]:
        place = RasterioWindow(part.col, part.row, part.width, part.height)
        try:
            values = self.dataset.read(1, window=place)
            labelled = self.dataset.read_masks(1, window=place) != 0
        except RasterioIOError as error:
            raise _unreadable(self.path, error) from error
        if values.dtype.kind == "f":
            labelled &= np.isfinite(values)
        unique, place_of = np.unique(values[labelled], return_inverse=True)
        if fractions := [value for value in unique.tolist() if value != int(value)]:
            raise SettingsError(f"{self.path} holds {fractions[0]}; labels are whole numbers of classes.")
        targets = self.mapping.label_ids([int(value) for value in unique], str(self.path), self.names)
        ids = np.full(part.shape, NO_LABEL, np.int16)
        ids[labelled] = np.array(targets, np.int16)[place_of]
        return ids


def has_crs(path: Path) -> bool:
    """Whether a label raster has a CRS.

    Raises:
        SceneError: If it cannot be read.
    """
    try:
        with open_raster(str(path)) as dataset:
            return dataset.crs is not None
    except RasterioIOError as error:
        raise _unreadable(path, error) from error


@contextmanager
def open_label_raster(path: Path, grid: Grid, mapping: ClassMapping) -> Iterator[LabelRaster]:
    """Open a label raster for the grid of a class map; without a CRS it has the same pixels.

    Raises:
        SceneError: If it cannot be read.
        SettingsError: If it cannot be placed on the grid, or holds anything but one band of numbers.
    """
    try:
        with open_raster(str(path), OVERVIEW_LEVEL="NONE") as dataset:
            if dataset.count != 1 or np.dtype(dataset.dtypes[0]).kind not in "iuf":
                raise SettingsError(
                    f"{path} has {dataset.count} bands of {dataset.dtypes[0]}; labels have one band of class numbers. "
                    "Take it out first: gdal_translate -b 1 IN OUT."
                )
            yield LabelRaster(path, dataset, value_names(dataset.tags()), _placed(dataset, path, grid), mapping)
    except RasterioIOError as error:
        raise _unreadable(path, error) from error


def _placed(dataset: DatasetReader, path: Path, grid: Grid) -> ToLabels:
    if dataset.crs is None:
        if dataset.shape != grid.window.shape:
            raise SettingsError(
                f"{path} has no CRS and {dataset.height} x {dataset.width} pixels, the class map has "
                f"{grid.height} x {grid.width}. Give labels of the same size, or with a CRS."
            )
        return lambda pixel: pixel
    try:
        labels = Grid(dataset.height, dataset.width, tuple(dataset.transform)[:6], dataset.crs.to_wkt())
    except ValueError as error:
        raise SettingsError(f"{path} has no usable georeference: {error}") from error
    source, target = CRS.from_wkt(grid.crs), CRS.from_wkt(labels.crs)
    if source.equals(target, ignore_axis_order=True):
        return lambda pixel: labels.to_pixel(grid.to_crs(pixel))
    return partial(_reproject, transformer(source, target), grid, labels)


def _reproject(transformer: Transformer, grid: Grid, labels: Grid, pixel: NDArray[np.float64]) -> NDArray[np.float64]:
    xy = grid.to_crs(pixel)
    return labels.to_pixel(np.stack(transformer.transform(xy[..., 0], xy[..., 1]), axis=-1))


def _halves(window: Window) -> tuple[Window, Window]:
    """Cut a window across its longer side."""
    (row, row_stop), (col, col_stop) = window.ranges
    if window.height >= window.width:
        middle = row + window.height // 2
        return Window.from_bounds(row, col, middle, col_stop), Window.from_bounds(middle, col, row_stop, col_stop)
    middle = col + window.width // 2
    return Window.from_bounds(row, col, row_stop, middle), Window.from_bounds(row, middle, row_stop, col_stop)


def _unreadable(path: Path, error: Exception) -> SceneError:
    return SceneError(f"{path} cannot be read ({error.__cause__ or error}). Check the file, or fetch it again.")
