"""Time to polygonize a class map on one core, compared with other tools, and its growth with the size.

Seconds are those of the processor, so that what else the machine does counts little; on one core they are wall time.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import shapes

import geoseg
from geoseg.vector import polygonize as pixel_polygons
from tests.benchmarks.class_maps import mirrored, speckled_landscape
from tests.benchmarks.figure import Figure
from tests.support.scenes import TRANSFORM

try:
    import xarray
    from xrspatial.experimental.polygonize import polygonize as xrspatial_polygonize
except ImportError:
    xrspatial_polygonize = None

ClassMap = NDArray[np.uint8]
Contender = Callable[[ClassMap], Any]

ROUNDS = 7
CRS = "EPSG:32632"
PIXEL_M = TRANSFORM.a
GEOMETRY, FRAME = "geometry alone", "GeoDataFrame"
SHAPES, USUAL = "rasterio shapes + shapely shape", "the same + segmentize + coverage_simplify"
XR_ARRAYS, XR_FRAME = "xarray-spatial, arrays of points", "xarray-spatial, GeoDataFrame"
FASTER_THAN_SHAPES, FASTER_THAN_USUAL, FASTER_THAN_XRSPATIAL = 6, 8, 2

BLOCK_PX = 2048
GROWTH_TILE_PX = 1024
GROWTH_TIMES = (1, 4, 16)
GROWTH_ROUNDS = 3


def run(folder: Path) -> Iterator[Figure]:
    """Polygonize a landscape of 4096 x 4096 pixels all ways, then landscapes of 1 to 256 megapixels."""
    with one_core():
        classes = speckled_landscape()
        yield Figure("polygons", "polygons of 4096 x 4096 pixels", len(pixel_polygons.polygonize(classes)), "")
        yield from beside_peers(classes)
        yield from growth(classes)


def beside_peers(classes: ClassMap) -> Iterator[Figure]:
    """Time the same polygons made by geoseg and by others."""
    plain = {GEOMETRY: pixel_polygons.polygonize, FRAME: frame, SHAPES: usual_shapes}
    if xrspatial_polygonize:
        plain |= {XR_ARRAYS: xrspatial_arrays, XR_FRAME: xrspatial_frame}
    seconds = medians(plain, classes)
    for ours in (GEOMETRY, FRAME):
        yield beaten(SHAPES, ours, seconds, FASTER_THAN_SHAPES)
    if xrspatial_polygonize:
        yield beaten(XR_ARRAYS, GEOMETRY, seconds, FASTER_THAN_XRSPATIAL)
        yield beaten(XR_FRAME, FRAME, seconds, FASTER_THAN_XRSPATIAL)
    else:
        yield Figure("polygons", "xarray-spatial is not installed; `make bench` does", None, "")
    simplified = {
        GEOMETRY: lambda array: pixel_polygons.polygonize(array, simplify_px=1),
        FRAME: lambda array: frame(array, simplify_px=1),
        USUAL: usual_simplified,
    }
    seconds = medians(simplified, classes)
    for ours in (GEOMETRY, FRAME):
        yield beaten(USUAL, ours, seconds, FASTER_THAN_USUAL, f"{ours}, simplified by 1 px")


def growth(classes: ClassMap) -> Iterator[Figure]:
    """Time block by block per pixel, for a tile, 16 and 256 of it."""
    tile = classes[:GROWTH_TILE_PX, :GROWTH_TILE_PX]
    maps = [mirrored(tile, times) for times in GROWTH_TIMES]

    def in_blocks(array: ClassMap) -> Any:
        return pixel_polygons.polygonize(array, simplify_px=1, block_px=BLOCK_PX)

    in_blocks(tile)
    rounds = [[seconds_of(in_blocks, array) / array.size for array in maps] for _ in range(GROWTH_ROUNDS)]
    values = [1e9 * median(column) for column in zip(*rounds, strict=True)]
    for array, value in zip(maps, values, strict=True):
        what = f"{array.shape[0]} x {array.shape[1]} in blocks, simplified by 1 px"
        yield Figure("polygons", what, value, "ns/px", values[0], "the smallest of these")


def frame(array: ClassMap, **options: float) -> Any:
    """What users of the Python function get."""
    return geoseg.polygonize(array, transform=TRANSFORM, crs=CRS, **options)


def usual_shapes(array: ClassMap) -> list[Any]:
    """GDAL's polygonizer as most people call it."""
    return [shapely.geometry.shape(geometry) for geometry, _ in shapes(array, transform=TRANSFORM)]


def usual_simplified(array: ClassMap) -> NDArray[Any]:
    """GDAL's polygons simplified without gaps: a vertex a pixel, so that neighbours share all of theirs."""
    return shapely.coverage_simplify(shapely.segmentize(usual_shapes(array), PIXEL_M), PIXEL_M)


def xrspatial_arrays(array: ClassMap) -> Any:
    """Its own fastest result; no geometries yet."""
    return xrspatial_polygonize(xarray.DataArray(array), transform=np.array(TRANSFORM[:6]))


def xrspatial_frame(array: ClassMap) -> Any:
    """Its result with shapely's geometries."""
    options = {"transform": np.array(TRANSFORM[:6]), "return_type": "geopandas"}
    return xrspatial_polygonize(xarray.DataArray(array), **options)


def medians(contenders: Mapping[str, Contender], array: ClassMap) -> dict[str, float]:
    """Median seconds of each. They alternate, so that slow phases of the machine affect all of them."""
    for contender in contenders.values():
        contender(array[:256, :256].copy())
    rounds = [[seconds_of(contender, array) for contender in contenders.values()] for _ in range(ROUNDS)]
    return {name: median(column) for name, column in zip(contenders, zip(*rounds, strict=True), strict=True)}


def seconds_of(contender: Contender, array: ClassMap) -> float:
    """Processor seconds of one call, the release of its result not counted."""
    started = process_time()
    result = contender(array)
    seconds = process_time() - started
    del result
    return seconds


def beaten(peer: str, ours: str, seconds: Mapping[str, float], least: float, what: str = "") -> Figure:
    """Time of another tool divided by geoseg's time."""
    return Figure("polygons", peer, seconds[peer], "s", seconds[ours], f"geoseg, {what or ours}", least=least)


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this thread, and those it starts, on one core."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
