"""Polygons in another CRS: where their edges lie, and that they still fit together."""

import numpy as np
import pytest
import shapely
from pyproj import CRS, Transformer
from scipy.ndimage import gaussian_filter

from geoseg.grid.legend import Legend, LegendClass
from geoseg.grid.window import Grid
from geoseg.publish.geodesy.reproject import reproject
from geoseg.publish.polygon_table import build_table
from geoseg.vector.lines.rings import Affine
from geoseg.vector.polygonize import polygonize
from tests.support.placing import measure
from tests.vector.class_maps import NODATA

SIDE = 58
"""Pixels along a side of the class map that is drawn; its pixels stand for many of the scene."""

CASES = {
    "232 km of UTM": ("EPSG:32633", "EPSG:4326", (10, 0, 400_000, 0, -10, 6_600_000), 400),
    "turned": ("EPSG:32633", "EPSG:3857", (8, 6, 400_000, 6, -8, 6_600_000), 400),
    "beside the pole": ("EPSG:3413", "EPSG:4326", (5000, 0, 20_000, 0, -5000, -20_000), 8),
    "across the antimeridian": ("EPSG:32601", "EPSG:4326", (500, 0, 250_000, 0, -500, 6_700_000), 14),
    "degrees": ("EPSG:4326", "EPSG:3035", (0.01, 0, 3, 0, -0.01, 60), 20),
}
"""CRS of the scene and of the polygons, transform, pixels of the scene along one of the drawing."""


def drawing() -> np.ndarray:
    """Large areas of four classes, with nodata between them, a border of one class and single pixels of others."""
    rng = np.random.default_rng(3)
    classes = np.stack([gaussian_filter(rng.random((SIDE, SIDE)), 5) for _ in range(4)]).argmax(axis=0).astype(np.uint8)
    classes[gaussian_filter(rng.random((SIDE, SIDE)), 6) < 0.48] = NODATA
    classes[:3] = 1
    classes[10::19, 10::19] = 5
    return classes


def polygons_of(case: str, simplify_px: float) -> tuple[np.ndarray, Grid, str, float]:
    """Polygons of a scene with long edges, its frame, the other CRS and the size of a pixel."""
    source, target, (a, b, c, d, e, f), times = CASES[case]
    coarse: Affine = (a * times, b * times, c, d * times, e * times, f)
    polygons = polygonize(drawing(), simplify_px=simplify_px, cut_px=32, transform=coarse)
    grid = Grid(SIDE * times, SIDE * times, (a, b, c, d, e, f), CRS(source).to_wkt())
    return polygons.geometry, grid, CRS(target).to_wkt(), grid.pixel_area**0.5


def offset_px(moved: np.ndarray, native: np.ndarray, grid: Grid, target: str, pixel: float) -> float:
    """How far points all along published edges lie from the polygons' boundaries in the scene, at most, in pixels."""
    back = Transformer.from_crs(target, grid.crs, always_xy=True)
    share = np.linspace(0, 1, 23)[:, None, None]
    worst = 0.0
    for there, here in zip(moved, shapely.boundary(native), strict=True):
        corners, ring = shapely.get_coordinates(shapely.get_rings(there), return_index=True)
        edge = np.flatnonzero(ring[1:] == ring[:-1])
        dense = corners[edge] * (1 - share) + corners[edge + 1] * share
        points = np.column_stack(back.transform(*dense.reshape(-1, 2).T))
        worst = max(worst, shapely.distance(shapely.points(points), here).max() / pixel)
    return worst


@pytest.mark.parametrize("simplify_px", [0.0, 2.0])
@pytest.mark.parametrize("case", CASES)
def test_edges_lie_within_a_tenth_of_a_pixel_of_their_curves_and_fit_together(case: str, simplify_px: float) -> None:
    native, grid, target, pixel = polygons_of(case, simplify_px)
    moved = reproject(native, grid, target)
    assert offset_px(moved, native, grid, target, pixel) < 0.1
    assert shapely.is_valid(moved).all()
    assert shapely.coverage_is_valid(moved)
    assert shapely.is_empty(shapely.coverage_invalid_edges(moved)).all()


@pytest.mark.parametrize("case", CASES)
def test_only_pixel_corners_are_inserted_along_rows_and_columns(case: str) -> None:
    native, grid, target, pixel = polygons_of(case, 0.0)
    # Where longitudes go on beyond 180 degrees, it is the same place.
    wrap = (360, 360) if CRS(target).is_geographic else (np.inf, np.inf)
    moved = np.mod(shapely.get_coordinates(reproject(native, grid, target)), wrap)
    way = Transformer.from_crs(grid.crs, target, always_xy=True)
    plain = shapely.transform(native, way.transform, interleaved=False)
    if case != "across the antimeridian":
        assert offset_px(plain, native, grid, target, pixel) > 0.5, "edges are long enough to tell"
    kept = set(map(tuple, np.mod(shapely.get_coordinates(plain), wrap)))
    assert kept < set(map(tuple, moved))
    a, b, c, d, e, f = grid.transform
    x, y = np.array(Transformer.from_crs(target, grid.crs, always_xy=True).transform(*moved.T)) - [[c], [f]]
    pixels = np.array([e * x - b * y, a * y - d * x]) / (a * e - b * d)
    assert np.abs(np.rint(pixels) - pixels).max() < 1e-3


def test_both_polygons_of_an_edge_get_the_same_points() -> None:
    native, grid, target, _ = polygons_of("232 km of UTM", 2.0)
    together = reproject(native, grid, target)
    for row in range(0, len(native), 7):
        assert shapely.equals_exact(reproject(native[row : row + 1], grid, target)[0], together[row])
        turned = reproject(shapely.reverse(native[row : row + 1]), grid, target)[0]
        assert shapely.equals_exact(shapely.reverse(turned), together[row])
    assert len(reproject(native[:0], grid, target)) == 0


def test_the_table_has_the_moved_polygons_and_the_areas_of_the_scene() -> None:
    source, target, transform, _ = CASES["beside the pole"]
    classes = np.kron(drawing(), np.ones((8, 8), np.uint8))
    grid = Grid(*classes.shape, transform, CRS(source).to_wkt())
    polygons = measure(polygonize(classes, simplify_px=1, cut_px=64, transform=transform), grid, classes)
    legend = Legend(tuple(LegendClass(i, f"class{i}", (i, 0, 0)) for i in range(6)))
    native, moved = (build_table(polygons, grid, legend, cut_px=64, crs=crs, model="m") for crs in ("native", target))
    assert moved.drop(["geometry", "bbox"]).equals(native.drop(["geometry", "bbox"]))
    geometry = shapely.from_wkb(moved["geometry"].to_numpy())
    assert shapely.get_num_coordinates(geometry).sum() > shapely.get_num_coordinates(polygons.geometry).sum()
    # With edges where they belong the polygons have the area of their pixels also in an equal-area CRS.
    equal = Transformer.from_crs(target, "EPSG:6931", always_xy=True)
    areas = shapely.area(shapely.transform(shapely.segmentize(geometry, 0.05), equal.transform, interleaved=False))
    assert areas.sum() == pytest.approx(sum(native["area_m2"].to_pylist()), rel=1e-4)
