"""Read any raster of integers as a class map."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import SceneError
from geoseg.grid.legend import NODATA_CLASS
from geoseg.grid.values import Values
from geoseg.grid.window import Grid, Window
from geoseg.raster.bands import BandSelection, usable_nodata
from geoseg.raster.env import open_raster
from geoseg.raster.read import read_window
from geoseg.raster.scene import Scene, describe

STRIP_ROWS = 512
"""Rows that are searched for values at a time."""

NAME_TAG = "CLASS_"
"""``CLASS_3`` is the tag that names the value 3."""

_IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
_BAND = BandSelection((1,))


@dataclass(frozen=True, slots=True)
class IntegerMap:
    """A raster of integers, and the class ids that stand for them. Holds no open file."""

    scene: Scene
    """The raster."""
    values: Values
    """What the class ids stand for."""
    names: dict[int, str]
    """Names of values, as far as the raster has them."""

    @property
    def grid(self) -> Grid:
        """Its frame."""
        return self.scene.grid

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Class ids of a window, shape (H, W); 255 is nodata, masked or not wanted.

        Raises:
            SceneError: If the file cannot be read there.
        """
        pixels, valid = read_window(self.scene, _BAND, window)
        return np.where(valid, self.values.encode(pixels[0]), np.uint8(NODATA_CLASS))


def open_integer_map(path: str | Path, wanted: Sequence[int] | None = None) -> IntegerMap:
    """Describe a raster of integers; where its values are unknown, read it once to find them.

    Args:
        path: What GDAL opens.
        wanted: Values that get a class id; all by default.

    Raises:
        SceneError: If the raster cannot be read, has several bands or other numbers than integers, has no place on the
            earth, or too many values.
    """
    scene = describe(path, allow_ungeoreferenced=True)
    if scene.bands > 1:
        raise SceneError(
            f"{path} has {scene.bands} bands; a class map has one. Take one out first: gdal_translate -b 1 IN OUT."
        )
    dtype: np.dtype[Any] = np.dtype(scene.dtypes[0])
    if dtype.kind not in "iu":
        raise SceneError(
            f"{path} holds {dtype}; a class map holds integers. If its values are whole numbers, convert it first: "
            "gdal_translate -ot Int32 IN OUT."
        )
    if not scene.grid.crs or scene.grid.transform == _IDENTITY:
        raise SceneError(
            f"{path} has no {'transform' if scene.grid.crs else 'CRS'}, so its polygons have no place on the earth. "
            "Give it one, e.g. with `gdal_edit.py -a_srs EPSG:nnnn -a_ullr ULX ULY LRX LRY FILE`, or use "
            "geoseg.polygonize on its pixels in Python."
        )
    try:
        values = Values.choose(_valid_pixels(scene), dtype, nodata=usable_nodata(scene, 1), wanted=wanted)
    except ValueError as error:
        raise SceneError(f"{path}: {error}") from error
    return IntegerMap(scene, values, _names(scene))


def _valid_pixels(scene: Scene) -> Iterator[NDArray[np.integer[Any]]]:
    """Valid pixels in portions, shape (N,)."""
    for row in range(0, scene.grid.height, STRIP_ROWS):
        height = min(STRIP_ROWS, scene.grid.height - row)
        pixels, valid = read_window(scene, _BAND, Window(row, 0, height, scene.grid.width))
        yield pixels[0][valid]


def _names(scene: Scene) -> dict[int, str]:
    with open_raster(scene.path, driver=scene.driver) as dataset:
        tags = {key.removeprefix(NAME_TAG): name for key, name in dataset.tags().items() if key.startswith(NAME_TAG)}
    return {int(key): name for key, name in tags.items() if key.removeprefix("-").isdecimal()}
