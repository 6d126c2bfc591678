"""Scenes that benchmarks share: each is made once for all that are run together."""

import os
from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window

from geoseg.demo.landscape import write_landscape
from tests.support.scenes import TRANSFORM

SHRINK = int(os.environ.get("BENCH_SHRINK", "1"))
"""Divisor of the sides of scenes, to test the benchmarks themselves. Limits do not apply then."""
TILE_PX = 512


def shrunk(side_px: int) -> int:
    """The side of a scene, of at least an internal tile."""
    return max(TILE_PX, side_px // SHRINK)


def landscape(folder: Path, side_px: int) -> Path:
    """The landscape of `geoseg demo`: 4 bands of uint16, tiled.

    Args:
        folder: That of the benchmark; the scene lies beside it, for others to use.
        side_px: Height and width.
    """
    path = folder.parent / f"landscape{side_px}.tif"
    if not path.exists():
        write_landscape(path, path.with_suffix(".truth.tif"), size=side_px)
    return path


def repeating(folder: Path, side_px: int) -> Path:
    """A scene without a hole or a sparse tile that is cheap to make: one tile of noise, again and again.

    Arguments are those of `landscape`.
    """
    path = folder.parent / f"repeating{side_px}.tif"
    if not path.exists():
        _write_repeating(path, side_px)
    return path


def _write_repeating(path: Path, side_px: int) -> None:
    tile = np.random.default_rng(0).integers(1, 4000, (4, TILE_PX, TILE_PX)).astype(np.uint16)
    with rasterio.open(
        path, "w", driver="GTiff", count=4, height=side_px, width=side_px, dtype="uint16", crs="EPSG:32632",
        transform=TRANSFORM, nodata=0, tiled=True, blockxsize=TILE_PX, blockysize=TILE_PX,
        compress="zstd", zstd_level=1, bigtiff="if_safer",
    ) as dataset:  # fmt: skip
        for row in range(0, side_px, TILE_PX):
            for col in range(0, side_px, TILE_PX):
                dataset.write(tile, window=Window(col, row, TILE_PX, TILE_PX))
