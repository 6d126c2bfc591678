"""Read a published class map in bounded memory."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioIOError
from rasterio.io import DatasetReader

from geoseg.errors import SceneError
from geoseg.grid.legend import Legend, LegendClass
from geoseg.grid.window import Grid, Window
from geoseg.raster.source.env import open_raster

STRIP_PIXELS = 1 << 23
"""Maximum pixels of a strip, unless a single row has more."""
STRIP_ROWS = 512
"""Rows that are read together: the rows of an internal tile, so that each tile is decoded once."""

ReadBand = Callable[[Window], NDArray[np.uint8]]
"""Reads a window of a raster, shape of the window."""

NAME_TAG = "CLASS_"
"""Prefix of the tags with class names; the class id follows."""


def class_map_grid(path: Path) -> Grid:
    """Size and georeference of a class map.

    Raises:
        SceneError: If the file cannot be read or does not hold a single uint8 band.
    """
    with _open(path) as dataset:
        return _grid(dataset)


def raster_grid(path: Path) -> Grid:
    """Size and georeference of a raster of any number of uint8 bands; errors as of `class_map_grid`."""
    with _open(path, single=False) as dataset:
        return _grid(dataset)


def class_map_names(path: Path) -> tuple[str, ...]:
    """Names of the classes 0, 1, 2, ... from the tags of a class map.

    Raises:
        SceneError: If the file cannot be read or ids are missing.
    """
    with _open(path) as dataset:
        tags = {key.removeprefix(NAME_TAG): name for key, name in dataset.tags().items() if key.startswith(NAME_TAG)}
    names = {int(number): name for number, name in tags.items() if number.isdecimal()}
    if not names or sorted(names) != list(range(len(tags))):
        raise SceneError(f"{path} has the tags {sorted(tags)} for names of classes, not {NAME_TAG}0, {NAME_TAG}1, ...")
    return tuple(names[number] for number in range(len(names)))


def class_map_legend(path: Path) -> Legend:
    """Names and colours of the classes, from the tags and the palette of a class map; errors as of `class_map_names`.

    A class map without a palette has shades of gray.
    """
    names = class_map_names(path)
    with _open(path) as dataset:
        has_palette = dataset.colorinterp[0] is ColorInterp.palette
        palette = dataset.colormap(1) if has_palette else {}
    grays = [round(255 * number / max(1, len(names) - 1)) for number in range(len(names))]
    colors = [palette.get(number, (gray, gray, gray))[:3] for number, gray in enumerate(grays)]
    return Legend(tuple(LegendClass(*entry) for entry in zip(range(len(names)), names, colors, strict=True)))


def value_names(tags: Mapping[str, str]) -> dict[int, str]:
    """Names of values by value, from the tags ``CLASS_<value>`` of a raster of any integers."""
    named = {key.removeprefix(NAME_TAG): name for key, name in tags.items() if key.startswith(NAME_TAG)}
    return {int(key): name for key, name in named.items() if key.removeprefix("-").isdecimal()}


@contextmanager
def open_band(path: Path) -> Iterator[ReadBand]:
    """Open a class map or a confidence to read windows; errors as of `class_map_grid`, also while reading."""
    with _open(path) as dataset:

        def read(window: Window) -> NDArray[np.uint8]:
            return np.asarray(dataset.read(1, window=window.ranges))

        yield read


@contextmanager
def open_bands(path: Path) -> Iterator[ReadBand]:
    """Open a raster of any number of uint8 bands to read windows, shape (C, H, W); errors as of `open_band`."""
    with _open(path, single=False) as dataset:

        def read(window: Window) -> NDArray[np.uint8]:
            return np.asarray(dataset.read(window=window.ranges))

        yield read


def class_map_strips(path: Path) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield a class map from north to south: first row of a strip, and its class ids of shape (rows, W).

    Raises:
        SceneError: If the file cannot be read or does not hold a single uint8 band.
    """
    with _open(path) as dataset:
        rows = max(1, STRIP_PIXELS // dataset.width)
        for first in range(0, dataset.height, STRIP_ROWS):
            height = min(STRIP_ROWS, dataset.height - first)
            tiles = dataset.read(1, window=Window(first, 0, height, dataset.width).ranges)
            for row in range(0, height, rows):
                yield first + row, tiles[row : row + rows]


@contextmanager
def _open(path: Path, *, single: bool = True) -> Iterator[DatasetReader]:
    """Open a raster of a ``single`` uint8 band, or of several, at full resolution."""
    try:
        with open_raster(str(path), OVERVIEW_LEVEL="NONE") as dataset:
            allowed = ({"uint8"},) if single else ({"uint8"}, {"uint16"})
            if {*dataset.dtypes} not in allowed or (single and dataset.count > 1):
                wanted = "a class map has one of uint8" if single else "they must be uint8 or uint16"
                raise SceneError(f"{path} has the bands {dataset.dtypes}; {wanted}. Publish it again.")
            yield dataset
    except RasterioIOError as error:
        raise SceneError(f"{path} cannot be read ({error}). Publish the scene again.") from error


def _grid(dataset: DatasetReader) -> Grid:
    crs = dataset.crs.to_wkt() if dataset.crs else ""
    return Grid(dataset.height, dataset.width, tuple(dataset.transform)[:6], crs)
