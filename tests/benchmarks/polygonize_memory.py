"""Peak memory of `geoseg polygonize` on class maps of a gigapixel: much less than their pixels and polygons take."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import rasterio
from rasterio.io import DatasetWriter
from rasterio.windows import Window

from tests.benchmarks.class_maps import speckled_landscape
from tests.benchmarks.figure import Figure
from tests.benchmarks.processes import measure
from tests.support.scenes import TRANSFORM

TIMES = 8
INTERNAL_TILE_PX = 512
SALTED_PX = 40_000
SALT = 0.0022
"""Part of the pixels that are specks of their own: 3.5 million, all of them holes of one polygon."""
STRIP_ROWS = 4000
LANDSCAPE_LIMIT_BYTES, SALTED_LIMIT_BYTES = 3e9, 2 * 2**30
MIB = 2**20
NAME = "polygonize_memory"


def run(folder: Path) -> Iterator[Figure]:
    """Polygonize a landscape of 32768 x 32768 pixels and salt of 40000 x 40000, three million polygons each."""
    class_map = folder / "landscape.tif"
    side = write_mirrored(class_map)
    yield from polygonized(class_map, f"{side} x {side}", side**2, LANDSCAPE_LIMIT_BYTES, "3 GB")
    class_map = folder / "salt.tif"
    write_salted(class_map, SALTED_PX)
    yield from polygonized(class_map, f"{SALTED_PX} x {SALTED_PX} of salt", SALTED_PX**2, SALTED_LIMIT_BYTES, "2 GiB")


def polygonized(class_map: Path, what: str, pixels: int, limit_bytes: float, limit: str) -> Iterator[Figure]:
    """Polygonize a class map, simplified by 1 px, to GeoParquet."""
    output = class_map.with_suffix(".parquet")
    command = [str(Path(sys.executable).with_name("geoseg")), "polygonize", str(class_map), "--output", str(output)]
    usage = measure(command, class_map.with_suffix(".log"))
    yield Figure(NAME, f"peak of all processes, {what}", usage.peak_bytes / MIB, "MiB", limit_bytes / MIB, limit, 1)
    yield Figure(NAME, "wall time", usage.seconds, "s")
    yield Figure(NAME, "pixels", pixels / usage.seconds / 1e6, "Mpx/s")
    yield Figure(NAME, "polygons", pq.read_metadata(output).num_rows, "")
    yield Figure(NAME, "size of the GeoParquet file", output.stat().st_size / MIB, "MiB")


@contextmanager
def new_class_map(path: Path, side: int) -> Iterator[DatasetWriter]:
    """Open a class map to be written."""
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=side, width=side, dtype="uint8", crs="EPSG:32632",
        transform=TRANSFORM, nodata=255, tiled=True, blockxsize=INTERNAL_TILE_PX, blockysize=INTERNAL_TILE_PX,
        compress="zstd", zstd_level=1,
    ) as dataset:  # fmt: skip
        yield dataset


def write_mirrored(path: Path) -> int:
    """Write the landscape of 4096 x 4096 pixels 8 x 8 times, every second one mirrored; return the side in pixels."""
    tile = speckled_landscape()
    size = len(tile)
    strip = np.pad(tile, [(0, 0), (0, size * (TIMES - 1))], "symmetric")
    side = size * TIMES
    with new_class_map(path, side) as dataset:
        for number in range(TIMES):
            rows = strip[::-1] if number % 2 else strip
            dataset.write(rows, 1, window=Window(0, number * size, side, size))
    return side


def write_salted(path: Path, side: int) -> None:
    """Write one class with random specks of five other classes."""
    rng = np.random.default_rng(0)
    with new_class_map(path, side) as dataset:
        for row in range(0, side, STRIP_ROWS):
            rows = np.zeros((min(STRIP_ROWS, side - row), side), np.uint8)
            count = int(SALT * rows.size)
            rows.ravel()[rng.integers(0, rows.size, count)] = rng.integers(1, 6, count, dtype=np.uint8)
            dataset.write(rows, 1, window=Window(0, row, side, len(rows)))
