"""Read a raster of any integers as a class map."""

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.config import SceneSettings
from geoseg.errors import SceneError
from geoseg.grid.legend import NODATA_CLASS
from geoseg.grid.tiling import Block, Tiling
from geoseg.grid.window import Grid, Window
from geoseg.polygonizer.values import Values
from geoseg.raster.bands import BandSelection, usable_nodata
from geoseg.raster.maps.class_map import value_names
from geoseg.raster.read import read_window
from geoseg.raster.source.env import open_raster
from geoseg.raster.source.georeference import IDENTITY
from geoseg.raster.source.scene import Scene, describe

STRIP_ROWS = 512
"""Rows that are read at a time in the search for values."""

_RASTERS = (".tif", ".tiff", ".vrt", ".jp2", ".img", ".png")
"""Suffixes of rasters that a message lists for a folder."""
_BAND = BandSelection((1,))


@dataclass(frozen=True, slots=True)
class ClassRaster:
    """A raster of integers and the class ids of its values. Holds no open file."""

    scene: Scene
    """The raster."""
    values: Values
    """The value of each class id."""
    names: dict[int, str]
    """Names of values, from the tags of the raster."""

    @property
    def grid(self) -> Grid:
        """Its grid."""
        return self.scene.grid

    @property
    def is_legend(self) -> bool:
        """Whether the file declares its values as classes, by a palette or by names."""
        return bool(self.names) or self.scene.roles == ("palette",)

    def occurring(self) -> list[int]:
        """All values of the valid pixels, ascending; empty if there are more than 255. Reads the raster."""
        try:
            return list(Values.choose(_valid_pixels(self.scene), self.values.values.dtype).values.tolist())
        except ValueError:
            return []

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Class ids of a window, shape (H, W); 255 for nodata, masked pixels and values without an id.

        Raises:
            SceneError: If the file cannot be read there.
        """
        pixels, valid = read_window(self.scene, _BAND, window)
        return np.where(valid, self.values.encode(pixels[0]), np.uint8(NODATA_CLASS))

    def read_blocks(self, tiling: Tiling) -> Iterator[tuple[Block, NDArray[np.uint8]]]:
        """Read all blocks in raster order, each with its class ids as of `read`; memory holds a row of blocks."""
        for row in range(tiling.block_rows):
            blocks = [tiling.block(row, col) for col in range(tiling.block_cols)]
            # Read a row of blocks at once: a file with strips as wide as the raster would be decoded for every block.
            strip = Window.from_bounds(blocks[0].core.row, 0, blocks[0].core.row_stop, self.grid.width)
            classes = self.read(strip)
            for block in blocks:
                yield block, classes[block.core.slices(strip)]


def open_class_raster(
    path: str | Path, wanted: Sequence[int] | None = None, settings: SceneSettings = SceneSettings()
) -> ClassRaster:
    """Describe a raster of integers; read it once to find its values if they are not known.

    Args:
        path: See `geoseg.raster.source.address.locate`.
        wanted: Values that get a class id; all by default.
        settings: Whether to read over the network.

    Raises:
        SceneError: If the raster cannot be read, has several bands, is not of integers, is not georeferenced or has too
            many values.
    """
    try:
        _refuse_several(str(path))
        scene = describe(path, settings.model_copy(update={"allow_ungeoreferenced": True}))
        return _open(scene, wanted)
    except OSError as error:
        raise SceneError(
            f"{error.filename or path} cannot be read: {error.strerror or error}. Check the file and its permissions."
        ) from error


def _refuse_several(path: str) -> None:
    """Refuse a folder, and a pattern that the shell did not expand.

    Raises:
        SceneError: If the path is one.
    """
    if os.path.isdir(path):  # noqa: PTH112  False for names that are invalid for the file system
        inside = sorted(entry.name for entry in os.scandir(path) if entry.name.lower().endswith(_RASTERS))
        each = f"{path.rstrip('/')}/*{Path(inside[0]).suffix}" if inside else ""
        what = f"{path} is a folder" + ("." if inside else " without rasters.")
    elif glob.has_magic(path) and not os.path.exists(path) and "://" not in path:  # noqa: PTH110
        inside, each = sorted(glob.glob(path)), path  # noqa: PTH207  the pattern may be absolute
        what = f"{path} is a pattern" + (" that no file here fits." if not inside else ".")
    else:
        return
    names = ", ".join(inside[:3]) + (f" and {len(inside) - 3} more" if len(inside) > 3 else "")
    raise SceneError(
        f"{what} A class map is one raster: give "
        + (
            f'one of {names}, or all in turn: for f in {each}; do geoseg polygonize "$f" --output '
            '"${f%.*}.parquet"; done'
            if inside
            else "the path of a file."
        )
    )


def _open(scene: Scene, wanted: Sequence[int] | None) -> ClassRaster:
    path = scene.path
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
    if not scene.grid.crs or scene.grid.transform == IDENTITY:
        _refuse_unrectified(scene)
        raise SceneError(
            f"{path} has no {'transform' if scene.grid.crs else 'CRS'}, so its polygons have no place on the earth. "
            "Give it one, e.g. with `gdal_edit.py -a_srs EPSG:nnnn -a_ullr ULX ULY LRX LRY FILE`, or use "
            "geoseg.polygonize on its pixels in Python."
        )
    try:
        values = Values.choose(_valid_pixels(scene), dtype, nodata=usable_nodata(scene, 1), wanted=wanted)
    except ValueError as error:
        raise SceneError(f"{path}: {error}") from error
    return ClassRaster(scene, values, _names(scene))


def _refuse_unrectified(scene: Scene) -> None:
    """Refuse a raster that is located by control points or RPCs: it needs rectification, not a CRS and corners.

    Raises:
        SceneError: If it is one.
    """
    with open_raster(scene.path, driver=scene.driver, remote=scene.remote) as dataset:
        points, rpcs = len(dataset.gcps[0]), dataset.rpcs is not None
    if points or rpcs:
        how, option = (f"{points} ground control points", "-tps") if points else ("rational polynomials (RPCs)", "-rpc")
        raise SceneError(
            f"{scene.path} is located by {how} alone. Rectify it first, without mixing its values: "
            f"gdalwarp {option} -r near -t_srs EPSG:nnnn IN OUT."
        )


def _valid_pixels(scene: Scene) -> Iterator[NDArray[np.integer[Any]]]:
    """Valid pixels in portions, shape (N,)."""
    for row in range(0, scene.grid.height, STRIP_ROWS):
        height = min(STRIP_ROWS, scene.grid.height - row)
        pixels, valid = read_window(scene, _BAND, Window(row, 0, height, scene.grid.width))
        yield pixels[0][valid]


def _names(scene: Scene) -> dict[int, str]:
    with open_raster(scene.path, driver=scene.driver, remote=scene.remote) as dataset:
        return value_names(dataset.tags())
