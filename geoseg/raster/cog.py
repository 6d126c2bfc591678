"""Write a class map or confidence as a cloud-optimised GeoTIFF, from pieces in any order."""

import errno
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shutil import disk_usage
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import rasterio
import rasterio.shutil
import rasterio.windows
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
"""A write that fails with less room than this failed for that."""


def write_cog(
    path: Path,
    grid: Grid,
    pieces: Iterable[tuple[Window, NDArray[np.uint8]]],
    *,
    nodata: int,
    overview_resampling: Literal["mode", "average"],
    band_name: str,
    colormap: Mapping[int, tuple[int, int, int]] | None = None,
    tags: Mapping[str, str] | None = None,
    threads: int = 1,
) -> None:
    """Write one band of bytes as a COG; it appears under its name when it is complete, or not at all.

    The bytes of the file depend on the pixels and what describes them alone: not on how the pieces are cut, in which
    order they come, on ``threads``, or on whether pieces of nodata are handed over. The file is read back before it is
    published. Memory is bounded by GDAL's cache and one piece; the disk holds a compressed copy beside the result for a
    while. GDAL makes overviews of all pixels, stored or not: about 8 seconds (``mode``) or 2 (``average``) a gigapixel.

    Args:
        path: The file to write or replace; its folder exists.
        grid: Size and georeference; the CRS may be empty.
        pieces: Windows of the scene and their values, shape of the window. What no piece covers is ``nodata``; an
            internal tile of nothing else takes no room.
        nodata: Value without meaning; overviews leave it out, the colour map makes it transparent.
        overview_resampling: ``mode`` for classes, ``average`` for confidence.
        band_name: Description of the band.
        colormap: Red, green, blue (0..255) of each value.
        tags: Metadata of the file. ``AREA_OR_POINT`` keeps its meaning.
        threads: Threads that compress.

    Raises:
        OSError: If the file cannot be written, such as on a full disk.
        SceneError: If pieces overlap and differ.
        ValueError: If a piece reaches outside the scene, or its shape or type is wrong.
    """
    profile = {
        "driver": "GTiff",
        "count": 1,
        "dtype": "uint8",
        "height": grid.height,
        "width": grid.width,
        "transform": Affine(*grid.transform),
        "crs": grid.crs or None,
        "nodata": nodata,
        "tiled": True,
        "blockxsize": TILE_PX,
        "blockysize": TILE_PX,
        # What is not written is nodata, and takes no room.
        "sparse_ok": True,
        # Read once and gone, so that speed is all that counts.
        "compress": "zstd",
        "zstd_level": 1,
        "bigtiff": "IF_SAFER",
    }
    # GDAL puts files of its own beside those it writes; all of them go with the folder.
    with (
        TemporaryDirectory(prefix=f".{path.name[:50]}.", dir=path.parent) as folder,
        _naming(path),
        gdal_env(),
        # GDAL compresses the overviews for itself before it compresses them for good.
        rasterio.Env(ZSTD_LEVEL_OVERVIEW=1),
        without_georeference_warning,
    ):
        plain, cog = Path(folder) / "plain.tif", Path(folder) / "cog.tif"
        with rasterio.open(plain, "w", **profile) as dataset:
            dataset.update_tags(**(tags or {}))
            dataset.set_band_description(1, band_name)
            if colormap is not None:
                colors = {value: (*rgb, 255) for value, rgb in colormap.items()}
                dataset.write_colormap(1, {**colors, nodata: (0, 0, 0, 0)})
            written = [(window, _write(dataset, grid, window, values)) for window, values in pieces]
        rasterio.shutil.copy(plain, cog, driver="COG", **_cog_options(overview_resampling, threads))
        _verify(cog, written, path)
        cog.replace(path)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Say which file cannot be written, and whether the disk is full: GDAL tells neither."""
    try:
        yield
    # rasterio.shutil.copy lets GDAL's own errors pass.
    except (RasterioIOError, CPLE_BaseError) as error:
        if disk_usage(path.parent).free < FULL_BELOW_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise OSError(errno.EIO, f"cannot be written: {error.__cause__ or error}", str(path)) from error


def _write(dataset: Any, grid: Grid, window: Window, values: NDArray[np.uint8]) -> int:
    """Write a piece and return its checksum."""
    if not grid.window.contains(window):
        raise ValueError(f"A piece at {window} reaches outside the scene, {grid.window}.")
    if values.shape != window.shape or values.dtype != np.uint8:
        raise ValueError(
            f"A piece at {window} must be uint8 of shape {window.shape}, got {values.dtype} {values.shape}."
        )
    dataset.write(values, 1, window=_part(window))
    return zlib.crc32(np.ascontiguousarray(values).data)


def _verify(cog: Path, written: list[tuple[Window, int]], path: Path) -> None:
    """Read every piece back: a tile that was lost on the way, as GDAL lets pass at the end, would look like nodata."""
    with rasterio.open(cog, OVERVIEW_LEVEL="NONE") as dataset:
        for place, (window, checksum) in enumerate(written):
            if zlib.crc32(dataset.read(1, window=_part(window))) == checksum:
                continue
            if any(other.intersect(window) for other, _ in (*written[:place], *written[place + 1 :])):
                raise SceneError(f"{path} does not hold at {window} what was written there: two pieces overlap.")
            raise RasterioIOError(f"what was written at {window} is lost")


def _part(window: Window) -> rasterio.windows.Window:
    return rasterio.windows.Window(window.col, window.row, window.width, window.height)


def _cog_options(overview_resampling: str, threads: int) -> dict[str, str | int]:
    return {
        "BLOCKSIZE": TILE_PX,
        "COMPRESS": "DEFLATE",
        # Differences of class ids mean nothing: with them a class map grows by a tenth to a third.
        "PREDICTOR": "NO" if overview_resampling == "mode" else "YES",
        # Confidence is noise that hardly gets smaller: 6 would save 4 % of the room and take two thirds more time.
        "LEVEL": 6 if overview_resampling == "mode" else 4,
        "OVERVIEW_RESAMPLING": overview_resampling.upper(),
        # Tiles of nodata take no room, overviews included, whether a piece held them or none did.
        "SPARSE_OK": True,
        "BIGTIFF": "IF_SAFER",
        "NUM_THREADS": threads,
    }
