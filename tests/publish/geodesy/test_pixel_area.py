"""Areas of pixels on the ground, against the closed form, Karney's geodesics and equal-area projections."""

import numpy as np
import pytest
import shapely
from pyproj import CRS, Proj, Transformer

from geoseg.errors import SceneError
from geoseg.grid.window import Grid, Window
from geoseg.publish.geodesy.pixel_area import add_areas, mean_pixel_m2, pixel_area
from geoseg.vector.blocks import label_block

EARTH_M2 = 510_065_621_724_088.5
"""Surface of the WGS 84 ellipsoid, 4 pi times the authalic radius 6,371,007.1809 m squared."""

LOOK_ALIKES = ["EPSG:4087", "EPSG:32662", "EPSG:3857", "EPSG:3395", "EPSG:3785", "ESRI:102100"] + [
    f"ESRI:{code}" for code in (54001, 54003, 54016, 54030, 54032, 54043)
]
"""Projections in metres whose areas are wrong by 20 % to 300 % at 60 degrees north."""


def grid_at(crs, lon=10.0, lat=60.0, pixel=10.0, shape=(90, 120), turn=0.0):
    """A grid whose first corner lies at a place of the CRS's own longitude and latitude."""
    crs = CRS(crs)
    x, y = Transformer.from_crs(crs.geodetic_crs, crs, always_xy=True).transform(lon, lat)
    cosine, sine = np.cos(np.radians(turn)) * pixel, np.sin(np.radians(turn)) * pixel
    return Grid(*shape, (cosine, sine, x, sine, -cosine, y), crs.to_wkt())


def total_m2(grid):
    area = pixel_area(grid)
    return float(area.in_m2(area.units(grid.window).sum(keepdims=True))[0, 0])


def karney_m2(grid, window=None):
    """Area of a window by geodesics through the corners of the pixels along its border."""
    window = window or grid.window
    border = shapely.segmentize(shapely.box(window.col, window.row, window.col_stop, window.row_stop), 1)
    col, row = shapely.get_coordinates(border).T
    a, b, c, d, e, f = grid.transform
    crs = CRS(grid.crs)
    lon, lat = Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True).transform(
        a * col + b * row + c, d * col + e * row + f
    )
    return abs(crs.get_geod().polygon_area_perimeter(lon, lat)[0])


def authalic(west, south, east, north):
    """Exact area between parallels and meridians (Snyder 1987, equation 3-12)."""
    a, e = 6_378_137.0, np.sqrt(2 / 298.257223563 - 1 / 298.257223563**2)
    sine = np.sin(np.radians([south, north]))
    q = (1 - e**2) * (sine / (1 - e**2 * sine**2) - np.log((1 - e * sine) / (1 + e * sine)) / (2 * e))
    return a**2 / 2 * np.radians(east - west) * (q[1] - q[0])


@pytest.mark.parametrize("turn", [0, 25])
@pytest.mark.parametrize("crs", LOOK_ALIKES)
def test_row42_areas_in_a_projection_that_stretches_them_are_geodesic(crs, turn):
    grid = grid_at(crs, turn=turn)
    # EPSG:3785 is a sphere. Robinson's projection is a table, whose scale jumps at 60 degrees.
    assert pixel_area(grid).method == "geodesic"
    assert total_m2(grid) == pytest.approx(karney_m2(grid), rel=1e-3 if crs == "ESRI:54030" else 1e-6)
    assert grid.pixel_area * grid.window.pixels > 1.18 * karney_m2(grid)


@pytest.mark.parametrize(
    ("crs", "lon", "lat"),
    [
        ("EPSG:32632", 10, 60),
        ("EPSG:3035", 10, 60),
        ("EPSG:6933", 10, 60),
        ("EPSG:2154", 3, 46),
        ("EPSG:3413", -45, 71),
        ("EPSG:3857", 10, 1),
        ("EPSG:5555", 7, 50),
        ("EPSG:32632+5773", 9, 50),
    ],
)
def test_areas_are_planar_where_the_scale_is_one(crs, lon, lat):
    grid = grid_at(crs, lon, lat)
    area = pixel_area(grid)
    assert (area.method, area.unit_m2, area.by_row) == ("planar", grid.pixel_area, None)
    assert area.in_m2(np.array([3, 7])).tolist() == [3 * grid.pixel_area, 7 * grid.pixel_area]
    assert total_m2(grid) == pytest.approx(karney_m2(grid), rel=0.01)


@pytest.mark.parametrize("crs", ["EPSG:32632", "EPSG:3034", "EPSG:3413", "ESRI:54032", "ESRI:54003"])
def test_a_scene_is_planar_if_its_scale_is_within_one_per_cent(crs):
    projection, methods = Proj(CRS(crs)), set()
    for lat in range(30, 88, 3):
        grid = grid_at(crs, 12, lat)
        scale = projection.get_factors(12, lat).areal_scale
        if abs(abs(scale - 1) - 0.01) > 1e-3:
            methods.add(pixel_area(grid).method)
            assert (pixel_area(grid).method == "planar") == (abs(scale - 1) < 0.01), (lat, scale)
    assert methods == ({"planar"} if crs == "EPSG:32632" else {"geodesic"} if "ESRI" in crs else {"planar", "geodesic"})


def test_one_corner_beyond_one_per_cent_is_enough():
    # On the equator 20 degrees from its meridian a scale of 0.9996 has become 1.06.
    near, far = (grid_at("EPSG:32632", 9, 1, 1000, (100, width)) for width in (400, 2000))
    assert (pixel_area(near).method, pixel_area(far).method) == ("planar", "geodesic")


def test_row42_feet_become_metres():
    # New York in US survey feet. The projection's own scale there is within 0.02 %.
    grid = grid_at("EPSG:2263", -74, 40.7)
    assert pixel_area(grid).method == "planar"
    assert pixel_area(grid).unit_m2 == pytest.approx((10 * 1200 / 3937) ** 2, rel=1e-12)
    assert total_m2(grid) == pytest.approx(karney_m2(grid), rel=1e-4)


@pytest.mark.parametrize(
    "bounds",
    [(10, 0, 11, 1), (10, 60, 11, 61), (-180, -90, 180, 90), (-180, -90, 180, 30), (0, -60, 360, 60), (170, 0, 190, 9)],
)
def test_a_cell_of_a_geographic_crs(bounds):
    west, south, east, north = bounds
    for shape in ((1, 1), (7, 5)):
        transform = ((east - west) / shape[1], 0, west, 0, (south - north) / shape[0], north)
        grid = Grid(*shape, transform, CRS(4326).to_wkt())
        assert total_m2(grid) == pytest.approx(authalic(*bounds), rel=1e-12)
        assert pixel_area(grid).units(grid.window).strides[1] == 0, "a row has one value"


def test_the_whole_earth():
    assert authalic(-180, -90, 180, 90) == pytest.approx(EARTH_M2)
    grid = Grid(180, 360, (1, 0, -180, 0, -1, 90), CRS(4326).to_wkt())
    assert total_m2(grid) == pytest.approx(EARTH_M2, rel=1e-12)
    assert mean_pixel_m2(grid) == pytest.approx(EARTH_M2 / 180 / 360, rel=1e-9)


def test_grads_of_another_meridian():
    # NTF (Paris): 1 grad is 0.9 degrees, on the Clarke 1880 ellipsoid, longitudes from Paris.
    grads = Grid(1, 1, (1, 0, 0, 0, -1, 51), CRS(4807).to_wkt())
    degrees = Grid(1, 1, (0.9, 0, 0, 0, -0.9, 45.9), CRS(4275).to_wkt())
    assert total_m2(grads) == pytest.approx(total_m2(degrees), rel=1e-12)


def test_pixels_around_the_pole():
    # The pole lies inside a pixel, the date line crosses the scene, and the scene reaches 20 degrees south of it.
    grid = Grid(181, 181, (25_000, 0, -2_262_500, 0, -25_000, 2_262_500), CRS(3413).to_wkt())
    equal_area = Transformer.from_crs(3413, 6931, always_xy=True)
    for window in (grid.window, Window(90, 90, 1, 1), Window(0, 170, 5, 11)):
        x0, y0 = 25_000 * window.col - 2_262_500, 2_262_500 - 25_000 * window.row
        outline = shapely.box(x0, y0 - 25_000 * window.height, x0 + 25_000 * window.width, y0)
        expected = shapely.transform(shapely.segmentize(outline, 2500), equal_area.transform, interleaved=False).area
        area = pixel_area(grid)
        assert int(area.units(window).sum()) * area.unit_m2 == pytest.approx(expected, rel=2e-5)


@pytest.mark.parametrize("crs", ["EPSG:3857", "ESRI:54032"])
@pytest.mark.parametrize("pixel", [0.05, 10, 3000])
def test_single_pixels_of_any_size(crs, pixel):
    grid = grid_at(crs, pixel=pixel, shape=(40, 300))
    area, window = pixel_area(grid), Window(20, 200, 10, 10)
    assert int(area.units(window).sum()) * area.unit_m2 == pytest.approx(karney_m2(grid, window), rel=1e-3)
    assert (area.unit_m2 < 1e-7 * area.mean_m2) & (np.log2(area.unit_m2) % 1 == 0)


@pytest.mark.parametrize("grid", [grid_at("ESRI:54032", pixel=900, shape=(600, 300), turn=10), grid_at(3857, turn=3)])
def test_a_pixel_has_one_area_whatever_the_window(grid):
    area = pixel_area(grid)
    whole = area.units(grid.window)
    assert (whole > 0).all()
    assert len(np.unique(whole)) > 1000
    for row, col, height, width in ((0, 0, 1, 1), (13, 7, 60, 50), (80, 100, 7, 20)):
        window = Window(row, col, height, width)
        np.testing.assert_array_equal(area.units(window), whole[window.slices(grid.window)])


@pytest.mark.parametrize(
    "grid",
    [grid_at(32632), grid_at(4326, pixel=1e-4), grid_at("ESRI:54032", pixel=900, turn=10)],
    ids=["planar", "by-row", "by-cell"],
)
def test_components_hold_the_areas_of_their_pixels(grid):
    pixels = np.random.default_rng(1).integers(0, 3, grid.window.shape).astype(np.uint8)
    pixels[pixels == 2] = 255
    area = pixel_area(grid)
    core = Window(10, 20, 60, 70)
    block = label_block(pixels[core.slices(grid.window)], pixels[core.slices(grid.window)], core, grid.width)
    components = add_areas(block, area).components
    if area.method == "planar":
        assert components.area_units is None
        return
    labels = block.labels.spread(block.labels.values, core.width)
    expected = np.bincount(labels[labels >= 0], area.units(core)[labels >= 0])
    assert components.area_units.tolist() == expected.astype(np.int64).tolist()
    valid = area.in_m2(area.units(core)[labels >= 0].sum(keepdims=True))[0]
    assert area.in_m2(components.area_units).sum() == valid, "not even the last bit differs, in any order"


def full_disk(shape=(100, 100)):
    """What a geostationary satellite sees: the earth is a disk in it, beyond which is no place."""
    side = 11_000_000 / shape[0]
    return Grid(*shape, (side, 0, -5_500_000, 0, -side, 5_500_000), CRS("+proj=geos +h=35785831 +datum=WGS84").to_wkt())


def test_pixels_beyond_the_earth_have_no_area_and_must_be_nodata():
    grid = full_disk()
    area = pixel_area(grid)
    units = area.units(grid.window)
    assert (units[0, 0], units[-1, -1]) == (0, 0)
    assert 0.7 < (units > 0).mean() < 0.8
    assert area.in_m2(units).sum() > 0.35 * EARTH_M2
    pixels = np.where(units > 0, 1, 255).astype(np.uint8)
    earth = label_block(pixels, pixels, grid.window, grid.width)
    assert add_areas(earth, area).components.area_units.sum() == units.sum()
    pixels[0, 0] = 1
    with pytest.raises(SceneError, match="Mask those pixels as nodata"):
        add_areas(label_block(pixels, pixels, grid.window, grid.width), area)


def test_a_scene_outside_its_crs_is_refused():
    for grid in (
        Grid(9, 9, (10, 0, 480_000, 0, -10, 5_480_000), CRS(4326).to_wkt()),
        Grid(9, 9, (1e7, 0, 1e9, 0, -1e7, 1e9), CRS(32632).to_wkt()),
    ):
        with pytest.raises(SceneError, match=r"has no longitude and latitude.*Check the scene's transform"):
            pixel_area(grid)
        assert mean_pixel_m2(grid) is None
    assert mean_pixel_m2(Grid(9, 9, (1, 0, 0, 0, -1, 0), "")) is None
    assert mean_pixel_m2(grid_at(32632)) == 100


def test_a_crs_that_proj_cannot_read_is_refused():
    with pytest.raises(SceneError, match=r"PROJ cannot read the scene's CRS .*gdal_edit"):
        pixel_area(Grid(9, 9, (10, 0, 0, 0, -10, 0), CRS(32632).to_wkt().replace("METHOD", "MEHTOD")))


def test_another_planet():
    mars = CRS("IAU_2015:49900")
    geod = mars.get_geod()
    grid = Grid(18, 36, (10, 0, -180, 0, -10, 90), mars.to_wkt())
    assert total_m2(grid) == pytest.approx(2 * geod.polygon_area_perimeter([0, 120, 240], [0, 0, 0])[0], rel=1e-9)
    assert geod.a == 3_396_190
