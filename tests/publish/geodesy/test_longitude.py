"""Rows 39 and 40 of the odd inputs: longitudes beyond 180 degrees, and poles."""

import numpy as np
import pyarrow as pa
import pytest
import shapely
from pyproj import CRS, Geod, Transformer

from geoseg.errors import SceneError
from geoseg.grid.legend import Legend, LegendClass
from geoseg.grid.window import Grid
from geoseg.publish.geodesy.longitude import western_longitude
from geoseg.publish.geodesy.pixel_area import pixel_area
from geoseg.publish.polygon_table import build_table
from geoseg.vector.polygons import PixelPolygons
from tests.support.placing import place

LEGEND = Legend((LegendClass(0, "land", (0, 0, 0)), LegendClass(1, "sea", (0, 0, 9))))


def grid_of(code: int, transform: tuple[float, ...], size: int = 40) -> Grid:
    return Grid(size, size, transform, CRS.from_epsg(code).to_wkt())


UTM_1N = grid_of(32601, (5000, 0, 250_000, 0, -5000, 6_700_000))
"""Across the antimeridian."""
POLAR_CROSSING = grid_of(3413, (5000, 0, -1_500_000, 0, -5000, 1_500_000))
WITH_POLE = grid_of(3031, (5000, 0, -90_000, 0, -5000, 90_000))


def table_of(grid: Grid, crs: str) -> pa.Table:
    """Every pixel as a polygon."""
    first = np.arange(grid.height * grid.width)
    row, col = np.divmod(first, grid.width)
    ones = np.ones(len(first), np.int64)
    squares = shapely.box(col, row, col + 1, row + 1)
    areas = pixel_area(grid).units(grid.window).ravel()
    polygons = PixelPolygons(squares, ((row + col) % 2).astype(np.uint8), first, ones, 200 * ones, areas)
    return build_table(place(polygons, grid), grid, LEGEND, cut_px=16, crs=crs, model="m")


@pytest.mark.parametrize("grid", [UTM_1N, POLAR_CROSSING], ids=["UTM", "polar"])
def test_row39_longitudes_continue_beyond_180(grid: Grid) -> None:
    assert western_longitude(grid, "EPSG:4326") is not None
    geometry = shapely.from_wkb(table_of(grid, "EPSG:4326")["geometry"].to_pylist())
    west, _, east, _ = shapely.total_bounds(geometry)
    assert 0 < west < 180 < east < 270
    assert shapely.is_valid(geometry).all()
    assert shapely.coverage_is_valid(geometry)
    assert (shapely.bounds(geometry)[:, 2] - shapely.bounds(geometry)[:, 0]).max() < 90, "no polygon around the world"
    back = Transformer.from_crs("EPSG:4326", grid.crs, always_xy=True)
    native = shapely.from_wkb(table_of(grid, "native")["geometry"].to_pylist())
    moved = shapely.transform(geometry, back.transform, interleaved=False)
    assert shapely.hausdorff_distance(moved, native).max() < 1e-3


@pytest.mark.parametrize(
    ("grid", "target"),
    [
        (grid_of(32633, (10, 0, 5e5, 0, -10, 5e6)), "EPSG:4326"),
        (grid_of(4326, (0.1, 0, 178, 0, -0.1, 10)), "EPSG:4326"),
        (grid_of(4326, (9, 0, 0, 0, -4, 80)), "EPSG:4326"),
        (grid_of(4326, (9, 0, -180, 0, -4.5, 90)), "EPSG:4326"),
        (grid_of(3857, (40_075_016.68557849 / 40, 0, -20_037_508.342789244, 0, -900_000, 18e6)), "EPSG:4326"),
        (UTM_1N, "EPSG:3832"),
        (UTM_1N, "EPSG:32601"),
        (WITH_POLE, "EPSG:3413"),
    ],
)
def test_row39_other_scenes_are_left_alone(grid: Grid, target: str) -> None:
    assert western_longitude(grid, target) is None


def test_row39_longitudes_from_0_to_360_stay_as_they_are() -> None:
    grid = grid_of(4326, (0.5, 0, 170, 0, -0.5, 10))
    for crs in ("native", "EPSG:4326"):
        table = table_of(grid, crs)
        geometry = shapely.from_wkb(table["geometry"].to_pylist())
        assert shapely.total_bounds(geometry).tolist() == [170, -10, 190, 10]
        cell = Geod(ellps="WGS84").geometry_area_perimeter(shapely.segmentize(shapely.box(170, -10, 190, 10), 0.05))[0]
        assert sum(table["area_m2"].to_pylist()) == pytest.approx(cell, rel=1e-5)


def test_row40_a_pole_has_no_longitude() -> None:
    with pytest.raises(SceneError, match=r"contains a pole.* WGS 84\. Use polygons\.crs=native"):
        western_longitude(WITH_POLE, "EPSG:4326")


@pytest.mark.parametrize(
    ("code", "transform", "factor"),
    [(3031, (100, 0, -2000, 0, -100, 2000), 1.06), (3413, (100, 0, -2000, 0, -100, 2000), 1.06), (32633, None, 1.0)],
)
def test_row40_areas_at_a_pole_are_those_of_the_ellipsoid(
    code: int, transform: tuple[float, ...] | None, factor: float
) -> None:
    grid = grid_of(code, transform or (100, 0, 5e5, 0, -100, 5e6))
    area_m2 = sum(table_of(grid, "native")["area_m2"].to_pylist())
    planar = grid.height * grid.width * grid.pixel_area
    assert area_m2 / planar == pytest.approx(factor, abs=0.01)
    # An independent answer: Lambert's azimuthal equal-area projection at the place.
    equal = Transformer.from_crs(grid.crs, {3031: 6932, 3413: 6931}.get(code, 3035), always_xy=True)
    a, _, c, _, e, f = grid.transform
    border = shapely.segmentize(shapely.box(c, f + e * grid.height, c + a * grid.width, f), 50)
    expected = shapely.area(shapely.transform(border, equal.transform, interleaved=False))
    assert area_m2 == pytest.approx(expected, rel=1e-3)
