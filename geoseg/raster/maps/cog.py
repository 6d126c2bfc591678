"""Write a class map, confidence or layer as a cloud-optimised GeoTIFF from pieces in any order."""

import errno
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shutil import disk_usage
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioIOError

from geoseg.errors import SceneError
from geoseg.grid.window import Grid, Window
from geoseg.raster.source.env import gdal_env, without_georeference_warning

TILE_PX = 512
"""Side of an internal tile."""
FULL_BELOW_BYTES = 1 << 20
"""If a write fails with less free space than this, the disk is full."""


@dataclass(frozen=True, slots=True)
class CogBand:
    """Metadata of the bands of a COG, and how their overviews are computed."""

    names: tuple[str, ...]
    """Description of each band."""
    nodata: int
    """Nodata value; excluded from overviews, transparent in the colour map."""
    resampling: Literal["mode", "average"]
    """``mode`` for classes, ``average`` for confidence."""
    colormap: Mapping[int, tuple[int, int, int]] | None = None
    """Red, green, blue (0..255) of each value."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Metadata of the file, such as ``AREA_OR_POINT``."""
    dtype: Literal["uint8", "uint16"] = "uint8"


def write_cog(path: Path, grid: Grid, pieces: Iterable[tuple[Window, NDArray[Any]]], band: CogBand) -> None:
    """Write bands as a COG, atomically.

    The bytes of the file depend only on the pixels and the metadata: not on the windows or the order of the pieces, or
    on whether pieces of nodata are given. The file is read back and verified before it gets its name. Memory is bounded
    by GDAL's cache and one piece; the disk temporarily holds a compressed copy. GDAL computes overviews of all pixels,
    stored or not: about 8 seconds (``mode``) or 2 (``average``) per gigapixel.

    Args:
        path: The file to write or replace; its folder must exist.
        grid: Size and georeference; the CRS may be empty.
        pieces: Windows of the scene and their values, shape of the window, or (bands, H, W) of several bands. Pixels
            without a piece are nodata; internal tiles that hold only nodata are not stored.
        band: Metadata and the resampling of overviews.

    Raises:
        OSError: If the file cannot be written, for example on a full disk.
        SceneError: If pieces overlap and differ.
        ValueError: If a piece reaches outside the scene, or its shape or type is wrong.
    """
    # An intermediate file that is read once, so only speed matters. Tiles that are not written are nodata.
    profile = {
        "driver": "GTiff", "count": len(band.names), "dtype": band.dtype, "nodata": band.nodata,
        "height": grid.height, "width": grid.width, "transform": Affine(*grid.transform), "crs": grid.crs or None,
        "tiled": True, "blockxsize": TILE_PX, "blockysize": TILE_PX, "sparse_ok": True,
        "compress": "zstd", "zstd_level": 1, "bigtiff": "IF_SAFER",
    }  # fmt: skip
    # GDAL writes temporary files beside the output; the temporary folder removes them all.
    with (
        TemporaryDirectory(prefix=f".{path.name[:50]}.", dir=path.parent) as folder,
        _name_file_in_errors(path),
        gdal_env(),
        # GDAL first compresses the overviews in a temporary file.
        rasterio.Env(ZSTD_LEVEL_OVERVIEW=1),
        without_georeference_warning,
    ):
        plain, cog = Path(folder) / "plain.tif", Path(folder) / "cog.tif"
        with rasterio.open(plain, "w", **profile) as dataset:
            dataset.update_tags(**band.tags)
            for number, name in enumerate(band.names, 1):
                dataset.set_band_description(number, name)
            if band.colormap is not None:
                colors = {value: (*rgb, 255) for value, rgb in band.colormap.items()}
                dataset.write_colormap(1, {**colors, band.nodata: (0, 0, 0, 0)})
            written = [(window, _write(dataset, grid, window, values)) for window, values in pieces]
        rasterio.shutil.copy(plain, cog, driver="COG", **_cog_options(band.resampling))
        _verify(cog, written, path)
        cog.replace(path)


@contextmanager
def _name_file_in_errors(path: Path) -> Iterator[None]:
    """Convert GDAL's errors to OSError with the file name and, on a full disk, ENOSPC."""
    try:
        yield
    # rasterio.shutil.copy does not wrap GDAL's own errors.
    except (RasterioIOError, CPLE_BaseError) as error:
        if disk_usage(path.parent).free < FULL_BELOW_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise OSError(errno.EIO, f"cannot be written: {error.__cause__ or error}", str(path)) from error


def _write(dataset: Any, grid: Grid, window: Window, values: NDArray[Any]) -> int:
    """Write a piece and return its checksum."""
    if not grid.window.contains(window):
        raise ValueError(f"A piece at {window} reaches outside the scene, {grid.window}.")
    shape = window.shape if dataset.count == 1 else (dataset.count, *window.shape)
    dtype = dataset.dtypes[0]
    if values.shape != shape or values.dtype != dtype:
        raise ValueError(f"A piece at {window} must be {dtype} of shape {shape}, got {values.dtype} {values.shape}.")
    dataset.write(values, 1 if dataset.count == 1 else None, window=window.ranges)
    return zlib.crc32(np.ascontiguousarray(values).data)


def _verify(cog: Path, written: list[tuple[Window, int]], path: Path) -> None:
    """Read every piece back: GDAL can lose a tile without an error on closing; it would read as nodata."""
    with rasterio.open(cog, OVERVIEW_LEVEL="NONE") as dataset:
        for index, (window, checksum) in enumerate(written):
            if zlib.crc32(dataset.read(window=window.ranges)) == checksum:
                continue
            if any(other.intersect(window) for other, _ in (*written[:index], *written[index + 1 :])):
                raise SceneError(f"{path} does not hold at {window} what was written there: two pieces overlap.")
            raise RasterioIOError(f"what was written at {window} is lost")


def _cog_options(resampling: str) -> dict[str, str | int]:
    return {
        "BLOCKSIZE": TILE_PX,
        "COMPRESS": "DEFLATE",
        # Differences of class ids have no meaning: a predictor makes a class map larger by a tenth to a third.
        "PREDICTOR": "NO" if resampling == "mode" else "YES",
        # Confidence is noisy: level 6 would save 4 % of the size and take two thirds more time.
        "LEVEL": 6 if resampling == "mode" else 4,
        "OVERVIEW_RESAMPLING": resampling.upper(),
        # Tiles of nodata are not stored, overviews included, whether a piece covers them or not.
        "SPARSE_OK": True,
        "BIGTIFF": "IF_SAFER",
        "NUM_THREADS": 1,
    }
