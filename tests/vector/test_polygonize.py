"""The whole way from class map to polygons, against GDAL and against itself with other blocks."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geoseg.demo.landscape import landscape
from geoseg.grid.window import Window
from geoseg.vector.polygonize import polygonize
from tests.vector.class_maps import HARD, NODATA, draw, gdal_polygons, landscape_like, our_polygons, random_maps

hard = pytest.mark.parametrize("classes", HARD.values(), ids=HARD.keys())
CUTS = (1, 2, 3, 5)
BOUNDS = (0.5, 0.75, 1.0, 1.1, 1.5, 3.0, 20.0)


def assert_sound(classes, polygons):
    """A valid coverage of exactly the area of the valid pixels, on corners of pixels."""
    assert shapely.is_valid(polygons.geometry).all()
    assert len(polygons) == 0 or shapely.coverage_is_valid(polygons.geometry)
    assert shapely.is_ccw(shapely.get_exterior_ring(polygons.geometry)).all()
    assert shapely.area(polygons.geometry).sum() == (classes != NODATA).sum()
    assert polygons.pixels.sum() == (classes != NODATA).sum()
    assert (np.diff(polygons.first_pixel) > 0).all()
    assert np.array_equal(polygons.class_id, classes.ravel()[polygons.first_pixel])
    assert_on_boundaries(classes, shapely.get_coordinates(polygons.geometry))


def assert_on_boundaries(classes, vertices):
    """Every vertex is a corner where boundaries turn, meet or cross the cut lattice, or the middle of a pixel edge."""
    halves = (2 * vertices).astype(int)
    assert np.array_equal(halves, 2 * vertices)
    assert not (halves % 2).all(axis=1).any()
    wide = np.pad(classes, 1, constant_values=NODATA)
    (col, row), (more_cols, more_rows) = halves.T // 2, halves.T % 2
    # The pixels around: four at a corner, two, each of them twice, at a middle.
    around = [
        wide[row + i * (1 - more_rows) + more_rows, col + j * (1 - more_cols) + more_cols]
        for i in (0, 1)
        for j in (0, 1)
    ]
    assert (np.ptp(np.array(around), axis=0) > 0).all()


def assert_bound(plain, simple, simplify_px):
    """No point of a simplified line is farther from the pixel edges than promised, nor they from it."""
    boundaries = [shapely.boundary(polygons.geometry) for polygons in (plain, simple)]
    for one, other in (boundaries, boundaries[::-1]):
        apart = shapely.hausdorff_distance(shapely.segmentize(one, 0.25), other)
        assert apart.max(initial=0) <= max(0.0, simplify_px) + 1e-9


def rows(polygons):
    columns = (polygons.class_id, polygons.first_pixel, polygons.pixels, polygons.confidence_sum)
    return list(zip(shapely.to_wkb(polygons.geometry), *(column.tolist() for column in columns), strict=True))


def assert_any_blocks(classes, confidence, **settings):
    whole = polygonize(classes, confidence, **settings)
    for factor in (1, 2, 5):
        block_px = factor * settings["cut_px"]
        assert rows(polygonize(classes, confidence, block_px=block_px, **settings)) == rows(whole), block_px
    return whole


@hard
@pytest.mark.parametrize("cut_px", CUTS)
def test_hard_maps_give_the_polygons_of_gdal_for_any_blocks(classes, cut_px):
    polygons = assert_any_blocks(classes, np.full_like(classes, 3), cut_px=cut_px)
    assert our_polygons(polygons) == gdal_polygons(classes)
    assert np.array_equal(shapely.area(polygons.geometry), polygons.pixels)
    assert_sound(classes, polygons)


@hard
@pytest.mark.parametrize("cut_px", CUTS)
def test_hard_maps_stay_a_coverage_when_simplified(classes, cut_px):
    plain = polygonize(classes)
    for simplify_px in BOUNDS:
        polygons = assert_any_blocks(classes, None, cut_px=cut_px, simplify_px=simplify_px)
        assert_sound(classes, polygons)
        assert_bound(plain, polygons, simplify_px)


def assert_any_map(classes, cut_px, simplify_px):
    confidence = np.random.default_rng(0).integers(1, 256, classes.shape, dtype=np.uint8)
    polygons = assert_any_blocks(classes, confidence, cut_px=cut_px, simplify_px=simplify_px)
    assert_sound(classes, polygons)
    assert_bound(polygonize(classes), polygons, simplify_px)
    if not simplify_px:
        assert our_polygons(polygons) == gdal_polygons(classes)


any_map = {"classes": random_maps, "cut_px": st.integers(1, 9), "simplify_px": st.sampled_from((0.0, *BOUNDS))}


@settings(max_examples=60)
@given(**any_map)
def test_any_map_with_any_blocks_and_bound(classes, cut_px, simplify_px):
    assert_any_map(classes, cut_px, simplify_px)


@pytest.mark.slow
@settings(max_examples=5000)
@given(**any_map)
def test_very_many_maps_with_any_blocks_and_bound(classes, cut_px, simplify_px):
    assert_any_map(classes, cut_px, simplify_px)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("simplify_px", [0.0, 1.0, 4.0])
def test_larger_maps(seed, simplify_px):
    classes = landscape_like(seed, (150 + 7 * seed, 133))
    polygons = assert_any_blocks(classes, classes, cut_px=16, simplify_px=simplify_px)
    assert_sound(classes, polygons)
    if not simplify_px:
        assert our_polygons(polygons) == gdal_polygons(classes)


def test_a_landscape():
    _, classes = landscape(Window(0, 0, 300, 350), shape=(300, 350), seed=3)
    plain = assert_any_blocks(classes, None, cut_px=50)
    assert our_polygons(plain) == gdal_polygons(classes)
    simple = assert_any_blocks(classes, None, cut_px=50, simplify_px=1.0)
    assert_sound(classes, simple)
    assert np.array_equal(simple.first_pixel, plain.first_pixel)
    counts = [shapely.get_num_coordinates(polygons.geometry).sum() for polygons in (plain, simple)]
    assert counts[1] < 0.35 * counts[0]
    assert_bound(plain, simple, 1.0)


def test_a_polygon_by_hand():
    (outer, island) = polygonize(draw("000 010 000"), np.full((3, 3), 9, np.uint8)).geometry
    assert outer.equals_exact(shapely.from_wkt("POLYGON ((0 0, 3 0, 3 3, 0 3, 0 0), (1 1, 1 2, 2 2, 2 1, 1 1))"))
    assert island.equals_exact(shapely.from_wkt("POLYGON ((1 1, 2 1, 2 2, 1 2, 1 1))"))


def test_the_cut_lattice_leaves_no_vertex_on_straight_lines():
    for block_px in (2, 4, 10):
        (square,) = polygonize(np.zeros((9, 9), np.uint8), cut_px=2, block_px=block_px).geometry
        assert square.equals_exact(shapely.from_wkt("POLYGON ((0 0, 9 0, 9 9, 0 9, 0 0))"))


def test_where_three_meet_all_three_have_the_vertex():
    polygons = polygonize(draw("00 12")).geometry
    assert all(polygon.exterior.intersects(shapely.Point(1, 1)) for polygon in polygons)
    assert all([1, 1] in shapely.get_coordinates(polygon).tolist() for polygon in polygons)


def test_the_edge_of_the_data_is_not_simplified():
    classes = draw("....... .11111. ..1111. ..11111 .111111")
    plain, simple = polygonize(classes), polygonize(classes, simplify_px=20)
    assert rows(plain) == rows(simple)


def test_read_only_arrays_will_do():
    classes = landscape_like(5, (40, 40))
    classes.flags.writeable = False
    assert len(polygonize(classes, classes, cut_px=8, block_px=16, simplify_px=1, min_area_px=4)) > 1


@pytest.mark.parametrize(
    ("classes", "options", "message"),
    [
        (np.zeros((2, 2), np.int16), {}, "int16"),
        (np.zeros((0, 2), np.uint8), {"block_px": 512}, "at least 1"),
        (np.zeros((2, 2), np.uint8), {"confidence": np.zeros((2, 3), np.uint8)}, r"\(2, 3\)"),
        (np.zeros((2, 2), np.uint8), {"block_px": 5, "cut_px": 2}, "block_px=5 is not a multiple of cut_px=2"),
        (np.zeros((2, 2), np.uint8), {"simplify_px": -1.0}, "simplify_px=-1.0"),
        (np.zeros((2, 2), np.uint8), {"simplify_px": 1001.0}, "simplify_px=1001.0"),
    ],
)
def test_what_cannot_be_done_is_refused(classes, options, message):
    with pytest.raises(ValueError, match=message):
        polygonize(classes, **options)


@pytest.mark.parametrize(
    "transform",
    [(10.0, 0.0, 500.0, 0.0, -10.0, 900.0), (10.0, 0.0, 5.0, 0.0, 10.0, 9.0), (6.0, 8.0, 1.0, 8.0, -6.0, 2.0)],
)
@pytest.mark.parametrize("block_px", [None, 8])
def test_placed_polygons_are_the_placed_pixels_with_shells_counter_clockwise(transform, block_px):
    classes = np.random.default_rng(3).integers(0, 3, (40, 50)).astype(np.uint8)
    plain = polygonize(classes, cut_px=8, block_px=block_px)
    placed = polygonize(classes, cut_px=8, block_px=block_px, transform=transform)
    a, b, c, d, e, f = transform
    moved = shapely.transform(plain.geometry, lambda p: np.column_stack([p @ (a, b) + c, p @ (d, e) + f]))
    assert shapely.equals_exact(shapely.normalize(placed.geometry), shapely.normalize(moved), 1e-9).all()
    assert shapely.is_ccw(shapely.get_exterior_ring(placed.geometry)).all()
    assert shapely.is_valid(placed.geometry).all()
