from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pyarrow as pa
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS

from geoseg.errors import SceneError, SettingsError
from geoseg.grid.legend import Legend, LegendClass
from geoseg.grid.window import Grid
from geoseg.publish import polygon_table as polygons_module
from geoseg.publish.polygon_table import POLYGON_SCHEMA, build_table
from geoseg.vector.polygons import PixelPolygons
from tests.support.placing import place

LEGEND = Legend((LegendClass(0, "water", (0, 0, 255)), LegendClass(1, "forest", (0, 99, 0))))
UTM = CRS.from_epsg(32633).to_wkt()
NORTH_UP = (10.0, 0.0, 500_000.0, 0.0, -10.0, 4_000_000.0)


def pixel_squares(height, width):
    """Every pixel of a scene as a polygon, clockwise on paper; classes alternate."""
    first = np.arange(height * width)
    row, col = np.divmod(first, width)
    ones = np.ones(len(first), np.int64)
    return PixelPolygons(
        shapely.box(col, row, col + 1, row + 1), ((row + col) % 2).astype(np.uint8), first, ones, 51 * (1 + row % 5)
    )


def take(polygons, order):
    names = ("geometry", "class_id", "first_pixel", "pixels", "confidence_sum")
    return PixelPolygons(*(getattr(polygons, name)[order] for name in names))


def table_of(polygons, grid, **changes):
    arguments = {"cut_px": 4, "model": "unet-7"} | changes
    return build_table(place(polygons, grid), grid, LEGEND, **arguments)


def geometry_of(table):
    return shapely.from_wkb(table["geometry"].to_numpy(zero_copy_only=False))


def test_a_polygon_too_large_for_a_file_names_its_class_and_the_remedy(monkeypatch):
    monkeypatch.setattr(polygons_module, "MAX_VERTICES", 5)
    grid = Grid(2, 3, NORTH_UP, UTM)
    assert len(table_of(pixel_squares(2, 3), grid)) == 6
    monkeypatch.setattr(polygons_module, "MAX_VERTICES", 4)
    with pytest.raises(SceneError, match=r"'water' has 5 vertices, .* 4 .* polygons\.not_dissolved: \[water\]"):
        table_of(pixel_squares(2, 3), grid)


def test_a_pixel_by_hand():
    grid = Grid(2, 3, NORTH_UP, UTM)
    row = table_of(take(pixel_squares(2, 3), [5]), grid).to_pylist()[0]
    geometry = shapely.from_wkb(row.pop("geometry"))
    assert geometry.equals(shapely.box(500_020, 3_999_980, 500_030, 3_999_990))
    assert row == {
        "polygon_id": 5,
        "class_id": 1,
        "class_name": "forest",
        "area_m2": 100.0,
        "perimeter_m": 40.0,
        "pixels": 1,
        "confidence": np.float32(0.4),
        "observed_at": None,
        "model": "unet-7",
        "bbox": {"xmin": 500_020.0, "ymin": 3_999_980.0, "xmax": 500_030.0, "ymax": 3_999_990.0},
    }


def test_the_schema_is_the_declared_one_with_and_without_rows():
    grid = Grid(2, 3, NORTH_UP, UTM)
    for polygons in (pixel_squares(2, 3), take(pixel_squares(2, 3), [])):
        for crs in ("native", "EPSG:4326"):
            table = table_of(polygons, grid, crs=crs)
            assert table.schema.equals(POLYGON_SCHEMA)
            assert table.schema.metadata[b"geoseg:area_method"] == b"planar"
            table.validate(full=True)


@settings(max_examples=60)
@given(
    linear=st.tuples(*[st.floats(-50, 50).map(lambda x: round(x, 3))] * 4).filter(
        lambda m: abs(m[0] * m[3] - m[1] * m[2]) > 1
    )
)
def test_any_transform_gives_counter_clockwise_shells_and_exact_vertices(linear):
    a, b, d, e = linear
    grid = Grid(6, 6, (a, b, 500_000.25, d, e, 4_000_000.5), UTM)
    hole = shapely.Polygon(shapely.box(0, 0, 6, 6).exterior, [shapely.box(2, 1, 3, 4).exterior])
    polygons = PixelPolygons(
        np.array([hole, shapely.box(2, 1, 3, 4)]),
        np.uint8([0, 1]),
        np.array([0, 8]),
        np.array([33, 3]),
        np.array([9, 9]),
    )
    table = table_of(polygons, grid)
    by_id = dict(zip(table["polygon_id"].to_pylist(), geometry_of(table), strict=True))
    for identity, pixel in zip((0, 8), polygons.geometry, strict=True):
        geometry = by_id[identity]
        assert geometry.exterior.is_ccw
        assert not any(ring.is_ccw for ring in geometry.interiors)
        col, row = shapely.get_coordinates(pixel).T
        expected = set(zip(a * col + b * row + 500_000.25, d * col + e * row + 4_000_000.5, strict=True))
        assert set(map(tuple, shapely.get_coordinates(geometry))) == expected
    areas = shapely.area(geometry_of(table))
    assert np.allclose(areas, table["area_m2"], rtol=1e-6)
    assert np.allclose(sum(areas), 36 * abs(a * e - b * d), rtol=1e-6)


def test_rows_are_in_the_order_of_the_hilbert_curve_for_any_input_order():
    grid = Grid(8, 8, NORTH_UP, UTM)
    squares = pixel_squares(8, 8)
    table = table_of(squares, grid)
    identities = np.array(table["polygon_id"])
    row, col = np.divmod(identities, 8)
    cells = [tuple(cell) for cell in np.column_stack([row // 4, col // 4])[::16].tolist()]
    assert cells == [(0, 0), (1, 0), (1, 1), (0, 1)]
    assert (np.diff(identities.reshape(4, 16)) > 0).all()
    shuffled = take(squares, np.random.default_rng(1).permutation(64))
    assert table_of(shuffled, grid).equals(table)


def test_another_crs_moves_vertices_as_longitude_latitude_and_keeps_the_area():
    grid = Grid(2, 3, NORTH_UP, UTM)
    native, moved = (table_of(pixel_squares(2, 3), grid, crs=crs) for crs in ("native", "EPSG:4326"))
    assert moved["area_m2"].equals(native["area_m2"])
    assert moved["perimeter_m"].equals(native["perimeter_m"])
    xmin, ymin, xmax, ymax = shapely.total_bounds(geometry_of(moved))
    # UTM 33N: easting 500,000 is 15 degrees east; northing 4,000,000 lies near 36.14 degrees north.
    assert xmin == pytest.approx(15, abs=1e-9)
    assert 15 < xmax < 15.001
    assert 36.14 < ymin < ymax < 36.15
    assert shapely.is_ccw(shapely.get_exterior_ring(geometry_of(moved))).all()
    assert [tuple(box.values()) for box in moved["bbox"].to_pylist()] == [
        tuple(bounds) for bounds in shapely.bounds(geometry_of(moved))
    ]


def test_the_bbox_holds_the_geometry_exactly():
    table = table_of(pixel_squares(5, 7), Grid(5, 7, (8.7, 3.3, 0.1, 3.3, -8.7, 0.7), UTM))
    boxes = np.array([list(box.values()) for box in table["bbox"].to_pylist()])
    assert np.array_equal(boxes, shapely.bounds(geometry_of(table)))


def test_the_time_is_stored_in_utc():
    taken = datetime(2024, 5, 1, 12, 30, tzinfo=timezone(timedelta(hours=2)))
    table = table_of(pixel_squares(1, 2), Grid(1, 2, NORTH_UP, UTM), observed_at=taken)
    assert table["observed_at"].to_pylist() == [datetime(2024, 5, 1, 10, 30, tzinfo=UTC)] * 2
    assert table.schema.field("observed_at").type == pa.timestamp("us", "UTC")
    with pytest.raises(ValueError, match="no time zone"):
        table_of(pixel_squares(1, 2), Grid(1, 2, NORTH_UP, UTM), observed_at=taken.replace(tzinfo=None))


def test_polygons_without_a_crs_or_a_class_name_are_refused():
    squares, grid = pixel_squares(1, 2), Grid(1, 2, NORTH_UP, UTM)
    with pytest.raises(SceneError, match="no CRS"):
        table_of(squares, Grid(1, 2, NORTH_UP, ""))
    with pytest.raises(SettingsError, match=r"polygons\.crs=EPSG:1 is not in PROJ"):
        table_of(squares, grid, crs="EPSG:1")
    with pytest.raises(SceneError, match="class 1 and the legend ends at 0"):
        build_table(squares, grid, Legend(LEGEND.classes[:1]), cut_px=4, model="m")
    world = Grid(1, 2, (180.0, 0.0, -180.0, 0.0, -180.0, 90.0), CRS.from_epsg(4326).to_wkt())
    with pytest.raises(SceneError, match="beyond where RGF93 v1 / Lambert-93"):
        table_of(replace(squares, area_units=np.ones(2, np.int64)), world, crs="EPSG:2154")
    with pytest.raises(ValueError, match="need `area_units`"):
        table_of(squares, world)


def test_columns_of_different_length_are_refused():
    good = pixel_squares(1, 2)
    with pytest.raises(ValueError, match=r"shape \(2,\)"):
        PixelPolygons(good.geometry, good.class_id[:1], good.first_pixel, good.pixels, good.confidence_sum)
