import numpy as np
import pytest
import shapely
from pyproj import CRS, Geod

from geoseg.errors import SceneError
from geoseg.publish.geodesy.measure import ellipsoid, geodesic_perimeters, planar_perimeters, to_geodetic

WGS84 = Geod(ellps="WGS84")


def geodesic(*geometry, crs="EPSG:4326"):
    return geodesic_perimeters(np.array(geometry), CRS(crs))


def test_the_perimeter_of_a_cell_is_that_of_its_finely_cut_boundary():
    x, y = shapely.get_coordinates(shapely.segmentize(shapely.box(10, 60, 11, 61), 0.001)).T
    assert geodesic(shapely.box(10, 60, 11, 61)) == pytest.approx(WGS84.line_length(x, y), rel=1e-6)


def test_holes_count_for_the_perimeter_in_both_directions():
    shell, hole = shapely.box(10, 50, 11, 51), shapely.box(10.2, 50.2, 10.4, 50.4)
    whole, inside = geodesic(shell, hole)
    for ring in (shell.exterior, shell.exterior.reverse()):
        for inner in (hole.exterior, hole.exterior.reverse()):
            # A second polygon, so that a hole cannot be taken for the next one's.
            assert geodesic(shapely.Polygon(ring, [inner]), shell) == pytest.approx([whole + inside, whole])


def test_lengths_on_the_plane_are_metres_whatever_the_unit():
    square = np.array([shapely.box(985_000, 200_000, 985_030, 200_020)])
    assert planar_perimeters(square, CRS(32633)).tolist() == [100.0]
    assert planar_perimeters(square, CRS(2263)) == pytest.approx(100 * 1200 / 3937)


def test_no_polygons():
    for lengths in (planar_perimeters, geodesic_perimeters):
        perimeters = lengths(np.empty(0, object), CRS(32633))
        assert (perimeters.tolist(), perimeters.dtype) == ([], np.float64)


def test_a_crs_without_a_place_is_refused():
    local = 'LOCAL_CS["site",UNIT["metre",1],AXIS["X",EAST],AXIS["Y",NORTH]]'
    with pytest.raises(SceneError, match="'site' is tied to no place"):
        ellipsoid(CRS(local))


def test_a_projection_that_proj_does_not_have_is_refused():
    crs = CRS.from_wkt(CRS.from_epsg(32632).to_wkt("WKT1_GDAL").replace("Transverse_Mercator", "Transvezse_Mercator"))
    with pytest.raises(SceneError, match=r"no transformation from the CRS .* by 'Transvezse_Mercator' "):
        to_geodetic(crs)


def test_vertices_off_the_earth_are_refused():
    with pytest.raises(SceneError, match="no longitude and latitude"):
        geodesic(shapely.box(1e9, 1e9, 2e9, 2e9), crs="+proj=ortho +lat_0=40 +datum=WGS84 +units=ft")
