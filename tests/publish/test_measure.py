import numpy as np
import pytest
import shapely
from pyproj import CRS, Geod, Transformer

from geoseg.errors import SceneError
from geoseg.grid.window import Grid
from geoseg.publish.measure import geodetic_way, mean_pixel_m2, measure

WGS84 = Geod(ellps="WGS84")
EARTH_M2 = 510_065_621_724_088.5
"""Surface of the WGS 84 ellipsoid, 4 pi times the authalic radius 6,371,007.1809 m squared."""


def sizes(*geometry, crs):
    geometry = np.array(geometry)
    return measure(geometry, shapely.area(geometry), CRS(crs))


def authalic(west, south, east, north):
    """Exact area between parallels and meridians (Snyder 1987, equation 3-12)."""
    a, e = 6_378_137.0, np.sqrt(2 / 298.257223563 - 1 / 298.257223563**2)
    sine = np.sin(np.radians([south, north]))
    q = (1 - e**2) * (sine / (1 - e**2 * sine**2) - np.log((1 - e * sine) / (1 + e * sine)) / (2 * e))
    return a**2 / 2 * np.radians(east - west) * (q[1] - q[0])


@pytest.mark.parametrize(
    "bounds",
    [(10, 0, 11, 1), (10, 60, 11, 61), (-180, -90, 180, 90), (-180, -90, 180, 30), (0, -60, 360, 60), (170, 0, 190, 9)],
)
def test_a_cell_of_a_geographic_crs(bounds):
    found = sizes(shapely.box(*bounds), crs="EPSG:4326")
    assert found.method == "geodesic"
    assert found.area_m2 == pytest.approx(authalic(*bounds), rel=1e-6)


def test_the_whole_earth():
    assert authalic(-180, -90, 180, 90) == pytest.approx(EARTH_M2)
    assert sizes(shapely.box(-180, -90, 180, 90), crs="EPSG:4326").area_m2 == pytest.approx(EARTH_M2, rel=1e-9)


def test_the_perimeter_of_a_cell_is_that_of_its_finely_cut_boundary():
    x, y = shapely.get_coordinates(shapely.segmentize(shapely.box(10, 60, 11, 61), 0.001)).T
    expected = WGS84.line_length(x, y)
    assert sizes(shapely.box(10, 60, 11, 61), crs="EPSG:4326").perimeter_m == pytest.approx(expected, rel=1e-6)


def test_holes_count_against_the_area_and_for_the_perimeter_whatever_way_rings_turn():
    shell, hole = shapely.box(10, 50, 11, 51), shapely.box(10.2, 50.2, 10.4, 50.4)
    whole, inside = (sizes(part, crs="EPSG:4326") for part in (shell, hole))
    for ring in (shell.exterior, shell.exterior.reverse()):
        for inner in (hole.exterior, hole.exterior.reverse()):
            # A second polygon, so that a hole cannot be taken for the next one's.
            found = sizes(shapely.Polygon(ring, [inner]), shell, crs="EPSG:4326")
            assert found.area_m2 == pytest.approx([(whole.area_m2 - inside.area_m2)[0], whole.area_m2[0]], rel=1e-12)
            assert found.perimeter_m[0] == pytest.approx((whole.perimeter_m + inside.perimeter_m)[0])


def test_metres_of_a_projection_are_taken_as_they_are():
    found = measure(np.array([shapely.box(500_000, 5e6, 500_030, 5_000_020)]), np.array([599.5]), CRS(32633))
    assert (found.method, found.area_m2.tolist(), found.perimeter_m.tolist()) == ("planar", [599.5], [100.0])


@pytest.mark.parametrize("crs", ["EPSG:3857", "ESRI:102100", "EPSG:3395", "EPSG:3785"])
def test_mercator_metres_are_not_believed(crs):
    to_crs = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    west, south = to_crs.transform(10, 60)
    east, north = to_crs.transform(10.1, 60.1)
    found = sizes(shapely.box(west, south, east, north), crs=crs)
    assert found.method == "geodesic"
    assert found.area_m2 == pytest.approx(authalic(10, 60, 10.1, 60.1), rel=5e-3 if crs == "EPSG:3785" else 1e-6)
    assert (east - west) * (north - south) > 3.5 * found.area_m2[0]


def test_feet_become_metres():
    # New York in US survey feet: a square of 1000 ft. The projection's own scale there is within 0.02 %.
    found = sizes(shapely.box(985_000, 200_000, 986_000, 201_000), crs="EPSG:2263")
    assert found.method == "geodesic"
    assert found.area_m2 == pytest.approx((1000 * 1200 / 3937) ** 2, rel=2e-4)
    assert found.perimeter_m == pytest.approx(4 * 1000 * 1200 / 3937, rel=1e-4)


def test_grads_of_another_meridian():
    # NTF (Paris): 1 grad is 0.9 degrees, on the Clarke 1880 ellipsoid, longitudes from Paris.
    found = sizes(shapely.box(0, 50, 1, 51), crs="EPSG:4807")
    expected = sizes(shapely.box(0, 45, 0.9, 45.9), crs="EPSG:4275")
    assert found.area_m2 == pytest.approx(expected.area_m2, rel=1e-9)


@pytest.mark.parametrize("crs", ["EPSG:5555", "EPSG:32632+5773"])
def test_heights_do_not_matter(crs):
    assert sizes(shapely.box(500_000, 5e6, 500_010, 5_000_010), crs=crs).method == "planar"


def test_a_ring_around_the_pole():
    # A square about the north pole in a polar projection in feet, where its edges' longitudes turn full circle.
    polar = "+proj=stere +lat_0=90 +lat_ts=90 +datum=WGS84 +units=ft"
    found = sizes(shapely.box(-1000, -1000, 1000, 1000), crs=polar)
    assert found.area_m2 == pytest.approx((2000 * 0.3048) ** 2, rel=1e-4)


def test_no_polygons():
    for crs, method in (("EPSG:4326", "geodesic"), ("EPSG:32633", "planar")):
        found = measure(np.empty(0, object), np.empty(0), CRS(crs))
        assert (found.area_m2.tolist(), found.perimeter_m.tolist(), found.method) == ([], [], method)
        assert found.area_m2.dtype == found.perimeter_m.dtype == np.float64


def test_a_crs_without_a_place_is_refused():
    local = 'LOCAL_CS["site",UNIT["metre",1],AXIS["X",EAST],AXIS["Y",NORTH]]'
    with pytest.raises(SceneError, match="'site' is tied to no place"):
        sizes(shapely.box(0, 0, 1, 1), crs=local)


def test_a_projection_that_proj_does_not_have_is_refused():
    crs = CRS.from_wkt(CRS.from_epsg(32632).to_wkt("WKT1_GDAL").replace("Transverse_Mercator", "Transvezse_Mercator"))
    with pytest.raises(SceneError, match=r"no way from the CRS .* by 'Transvezse_Mercator' .*EPSG:"):
        geodetic_way(crs)


def test_vertices_off_the_earth_are_refused():
    with pytest.raises(SceneError, match="no longitude and latitude"):
        sizes(shapely.box(1e9, 1e9, 2e9, 2e9), crs="+proj=ortho +lat_0=40 +datum=WGS84 +units=ft")


def grid(crs, west, north, pixel, height, width=8):
    return Grid(height, width, (pixel, 0, west, 0, -pixel, north), CRS(crs).to_wkt())


def test_the_mean_pixel_of_a_scene():
    assert mean_pixel_m2(grid("EPSG:32632", 480_000, 5_480_000, 10, 100)) == 100
    assert mean_pixel_m2(grid("EPSG:2263", 980_000, 200_000, 10, 100)) == pytest.approx((10 * 0.3048) ** 2, rel=1e-3)
    world = mean_pixel_m2(grid("EPSG:4326", -180, 90, 1, 180, width=360))
    assert world == pytest.approx(EARTH_M2 / 180 / 360, rel=1e-6)
    assert mean_pixel_m2(grid("EPSG:4326", 0, 120, 1, 50)) is None, "it begins beyond the pole"
    assert mean_pixel_m2(Grid(9, 9, (1, 0, 0, 0, -1, 0), "")) is None
