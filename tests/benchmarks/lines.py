"""Lines of polygons: how many vertices, how near to the truth, beside the usual simplification without gaps.

Until 2026-11 geoseg took the smallest triangles away, as GEOS does: 15,051 vertices on the map of the first seed, on
average 0.247 px and at most 1.15 px from the truth. xarray-spatial 0.5 does not simplify.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from time import process_time
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray

from geoseg.demo.landscape import landscape
from geoseg.grid.window import Window
from geoseg.vector.polygonize import polygonize
from tests.benchmarks.figure import Figure
from tests.benchmarks.scenes import shrunk
from tests.benchmarks.table import ROOT
from tests.benchmarks.true_borders import TrueMap, draw_true_map
from tests.run.test_real_data import DYNAMIC_WORLD_BANDS, SENTINEL2_L1C, whole_chip

SIDE_PX, SEEDS = 700, range(1, 6)
DEMO_PX = 2048
PIXEL_M = 10
SAMPLE_PX = 0.1
CUT_PX = 448
"""Stride of a patch of 512 pixels."""
GEOS, OURS = "GEOS coverage_simplify, 1 px", "geoseg, 1 px"
FEWER, NEARER = 0.52, 0.55
DATA = ROOT.parent / "shared" / "data"

Geometries = NDArray[Any]
Lines = Callable[[NDArray[np.uint8]], Geometries]


def stairs(classes: NDArray[np.uint8]) -> Geometries:
    """The pixel edges themselves."""
    return polygonize(classes, cut_px=CUT_PX).geometry


def geos(classes: NDArray[np.uint8], tolerance: float = 1) -> Geometries:
    """The usual way without gaps; GEOS simplifies rows of vertices that neighbours share."""
    return np.asarray(shapely.coverage_simplify(shapely.segmentize(stairs(classes), 1.0), tolerance))


def ours(classes: NDArray[np.uint8], simplify_px: float = 1) -> Geometries:
    """The lines of geoseg."""
    return polygonize(classes, simplify_px=simplify_px, cut_px=CUT_PX).geometry


WAYS: dict[str, Lines] = {
    GEOS: geos,
    "GEOS coverage_simplify, 1.5 px": lambda classes: geos(classes, 1.5),
    "stairs": stairs,
    OURS: ours,
    **{f"geoseg, {bound:g} px": lambda classes, bound=bound: ours(classes, bound) for bound in (0.5, 1.1, 1.25)},
}


def run(folder: Path) -> Iterator[Figure]:
    """Draw maps of known borders and real class maps all ways."""
    ours(np.eye(64, dtype=np.uint8)), ours(np.eye(64, dtype=np.uint8), 1.25)
    maps = [draw_true_map(shrunk(SIDE_PX), seed) for seed in SEEDS]
    baseline = judge(GEOS, maps, folder)
    for name in WAYS:
        found = judge(name, maps, folder)
        for what, (value, unit) in found.items():
            least = {"vertices": FEWER, "mean distance to the truth": NEARER}.get(what) if name == OURS else None
            yield Figure("lines", f"{name}: {what}", value, unit, baseline[what][0], GEOS, limit=least)
    for name, classes in real_maps().items():
        yield from beside_geos(name, classes)


def judge(name: str, maps: list[TrueMap], folder: Path) -> Mapping[str, tuple[float, str]]:
    """Draw all maps one way: vertices and distances to the truth, bytes and seconds."""
    started = process_time()
    drawn = [WAYS[name](each.classes) for each in maps]
    seconds = process_time() - started
    distances, metres, size = [], 0.0, 0
    for each, geometry in zip(maps, drawn, strict=True):
        lines = shapely.boundary(geometry)
        metres += PIXEL_M * shapely.length(lines).sum()
        distances.append(each.distance_to(shapely.get_coordinates(shapely.segmentize(lines, SAMPLE_PX))))
        size += file_bytes(geometry, folder / "lines.parquet")
    apart = np.concatenate(distances)
    vertices = int(sum(shapely.get_num_coordinates(geometry).sum() for geometry in drawn))
    return {
        "vertices": (vertices / len(maps), ""),
        "vertices a kilometre": (vertices / metres * 1000, ""),
        "mean distance to the truth": (float(apart.mean()), "px"),
        "95 % of the distances": (float(np.percentile(apart, 95)), "px"),
        "largest distance": (float(apart.max()), "px"),
        "bytes of a GeoParquet file": (size / len(maps), ""),
        "processor time": (seconds / len(maps), "s"),
    }


def file_bytes(geometry: Geometries, path: Path) -> int:
    """Size of a file of geometries alone."""
    placed = shapely.transform(geometry, lambda xy: xy * (PIXEL_M, -PIXEL_M) + (480_000, 5_480_000))
    gpd.GeoDataFrame(geometry=placed, crs="EPSG:32632").to_parquet(path, compression="zstd")
    return path.stat().st_size


def beside_geos(name: str, classes: NDArray[np.uint8]) -> Iterator[Figure]:
    """Vertices, and distances to the pixel edges, of a class map without a truth."""
    edges = pixel_edges(classes)
    drawn = {GEOS: geos(classes), OURS: ours(classes)}
    vertices = {way: int(shapely.get_num_coordinates(geometry).sum()) for way, geometry in drawn.items()}
    apart = {way: distances_to(edges, geometry) for way, geometry in drawn.items()}
    yield Figure("lines", f"{name}: vertices", vertices[OURS], "", vertices[GEOS], GEOS, limit=FEWER)
    for what, measure in (("mean", np.mean), ("largest", np.max)):
        values = {way: float(measure(distance)) for way, distance in apart.items()}
        yield Figure("lines", f"{name}: {what} distance to the pixel edges", values[OURS], "px", values[GEOS], GEOS)
    yield Figure("lines", f"{name}: largest distance beside the bound", float(apart[OURS].max()), "px", 1.0, "1 px", 1)


def pixel_edges(classes: NDArray[np.uint8]) -> shapely.STRtree:
    """All boundaries of a class map, each straight run a line."""
    xy, of_ring = shapely.get_coordinates(shapely.get_rings(stairs(classes)), return_index=True)
    same = of_ring[1:] == of_ring[:-1]
    return shapely.STRtree(shapely.linestrings(np.stack([xy[:-1][same], xy[1:][same]], axis=1)))


def distances_to(edges: shapely.STRtree, geometry: Geometries) -> NDArray[np.float64]:
    """Distances of samples of the lines of polygons to the nearest pixel edge."""
    xy = shapely.get_coordinates(shapely.segmentize(shapely.boundary(geometry), 4 * SAMPLE_PX))
    _, distance = edges.query_nearest(shapely.points(np.unique(xy, axis=0)), return_distance=True, all_matches=False)
    return np.asarray(distance)


def real_maps() -> dict[str, NDArray[np.uint8]]:
    """The demo's landscape, and where the data is: hand-made labels, and what a public model sees."""
    side = shrunk(DEMO_PX)
    maps = {"demo": landscape(Window(0, 0, side, side), shape=(side, side), seed=0)[1]}
    if DATA.is_dir():
        with rasterio.open(DATA / "naip6_train_cluster_labels.tif") as dataset:
            maps["NAIP labels"] = dataset.read(1)
        bands = [SENTINEL2_L1C.index(name) + 1 for name in DYNAMIC_WORLD_BANDS]
        maps["Dynamic World"] = whole_chip(DATA, DATA / "sen1floods_S2_13band.tif", bands).astype(np.uint8)
    return maps
