"""Read a published class map in bounded memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import RasterioIOError
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterioWindow

from geoseg.errors import SceneError
from geoseg.grid.window import Grid
from geoseg.raster.env import open_raster

STRIP_PIXELS = 1 << 23
"""Pixels of a strip at most, unless a row holds more."""
STRIP_ROWS = 512
"""Rows of an internal tile, which are read together: less would decode tiles again and again."""


def class_map_grid(path: Path) -> Grid:
    """Size and georeference of a class map.

    Raises:
        SceneError: If the file cannot be read or holds something else than one uint8 band.
    """
    with _open(path) as dataset:
        crs = dataset.crs.to_wkt() if dataset.crs else ""
        return Grid(dataset.height, dataset.width, tuple(dataset.transform)[:6], crs)


def class_map_strips(path: Path) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield a class map from north to south: first row of a strip, and its class ids of shape (rows, W).

    Raises:
        SceneError: If the file cannot be read or holds something else than one uint8 band.
    """
    with _open(path) as dataset:
        rows = max(1, STRIP_PIXELS // dataset.width)
        for first in range(0, dataset.height, STRIP_ROWS):
            height = min(STRIP_ROWS, dataset.height - first)
            tiles = dataset.read(1, window=RasterioWindow(0, first, dataset.width, height))
            for row in range(0, height, rows):
                yield first + row, tiles[row : row + rows]


@contextmanager
def _open(path: Path) -> Iterator[DatasetReader]:
    """Open one band of bytes, never its overviews."""
    try:
        with open_raster(str(path), OVERVIEW_LEVEL="NONE") as dataset:
            if dataset.dtypes != ("uint8",):
                raise SceneError(
                    f"{path} has the bands {dataset.dtypes}; a class map has one of uint8. Publish it again."
                )
            yield dataset
    except RasterioIOError as error:
        raise SceneError(f"{path} cannot be read ({error}). Publish the scene again.") from error
