"""Peak memory of `geoseg polygonize` on a class map of a gigapixel: far below what its pixels and polygons take."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import rasterio
from rasterio.windows import Window

from tests.benchmarks.class_maps import speckled_landscape
from tests.benchmarks.figure import Figure
from tests.benchmarks.processes import measure
from tests.support.scenes import TRANSFORM

TIMES = 8
INTERNAL_TILE_PX = 512
LIMIT_BYTES = 3e9
MIB = 2**20


def run(folder: Path) -> Iterator[Figure]:
    """Polygonize 32768 x 32768 pixels with about three million polygons, simplified by 1 px, to GeoParquet."""
    class_map, output = folder / "classes.tif", folder / "polygons.parquet"
    side = write_mirrored(class_map)
    command = [str(Path(sys.executable).with_name("geoseg")), "polygonize", str(class_map), "--output", str(output)]
    usage = measure(command, folder / "polygonize.log")
    name = "polygonize_memory"
    yield Figure(
        name, f"peak of all processes, {side} x {side}", usage.peak_bytes / MIB, "MiB", LIMIT_BYTES / MIB, "3 GB", 1
    )
    yield Figure(name, "wall time", usage.seconds, "s")
    yield Figure(name, "pixels", side**2 / usage.seconds / 1e6, "Mpx/s")
    yield Figure(name, "polygons", pq.read_metadata(output).num_rows, "")
    yield Figure(name, "size of the GeoParquet file", output.stat().st_size / MIB, "MiB")


def write_mirrored(path: Path) -> int:
    """Write the landscape of 4096 x 4096 pixels 8 x 8 times, every second one mirrored; return the side in pixels."""
    tile = speckled_landscape()
    size = len(tile)
    strip = np.pad(tile, [(0, 0), (0, size * (TIMES - 1))], "symmetric")
    side = size * TIMES
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=side, width=side, dtype="uint8", crs="EPSG:32632",
        transform=TRANSFORM, nodata=255, tiled=True, blockxsize=INTERNAL_TILE_PX, blockysize=INTERNAL_TILE_PX,
        compress="zstd", zstd_level=1,
    ) as dataset:  # fmt: skip
        for number in range(TIMES):
            rows = strip[::-1] if number % 2 else strip
            dataset.write(rows, 1, window=Window(0, number * size, side, size))
    return side
