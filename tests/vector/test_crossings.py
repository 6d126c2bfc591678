"""Lines across the cut lattice: no vertex is left that only the lattice needs."""

import numpy as np
import pytest
import shapely

from geoseg.vector.polygonize import polygonize
from tests.vector.class_maps import draw, landscape_like
from tests.vector.test_simplify import smooth_field


def count(geometry):
    return shapely.get_num_coordinates(geometry).sum()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("simplify_px", [0.5, 1.0])
def test_the_lattice_costs_less_than_one_vertex_in_a_hundred(seed, simplify_px):
    classes = smooth_field(seed, (400, 300))
    whole, cut = (polygonize(classes, simplify_px=simplify_px, cut_px=cut_px).geometry for cut_px in (512, 64))
    assert count(cut) <= 1.01 * count(whole)


@pytest.mark.parametrize("cut_px", [32, 64])
@pytest.mark.parametrize(("rise", "run"), [(0, 1), (1, 3), (2, 3), (1, 1), (5, 2)])
def test_a_straight_border_stays_straight_across_the_lattice(cut_px, rise, run):
    row, col = np.indices((128, 128)) + 0.5
    classes = (rise * col + run * row > 64.3 * (rise + run)).astype(np.uint8)
    plain, cut = (polygonize(classes, simplify_px=1, cut_px=size).geometry for size in (128, cut_px))
    borders = [shapely.line_merge(shapely.intersection(*geometry)) for geometry in (plain, cut)]
    assert len(borders[1].coords) <= len(borders[0].coords) + 1
    inner = 2 * shapely.get_coordinates(borders[1])[1:-1]
    assert not ((inner % 2 == 0).all(axis=1) & (inner % (2 * cut_px) == 0).any(axis=1)).any()


def test_two_lines_between_the_same_nodes_stay_apart():
    """A strip of one pixel across the lattice: both its sides are straight, and neither falls on the other."""
    classes = draw("00000000 00000000 01111110 22222222 22222222")
    for simplify_px in (0.5, 1.0, 1.5, 4.0):
        for cut_px in (1, 2, 3, 8):
            polygons = polygonize(classes, simplify_px=simplify_px, cut_px=cut_px)
            assert shapely.coverage_is_valid(polygons.geometry)
            assert polygons.geometry[1].area >= 2.5


def test_small_rings_on_the_lattice_keep_four_sides():
    classes = np.zeros((30, 30), np.uint8)
    classes[[5, 6, 7, 12, 20, 20], [7, 15, 21, 6, 20, 21]] = 1
    for cut_px in (1, 2, 3, 7):
        islands = polygonize(classes, simplify_px=1, cut_px=cut_px).geometry[1:]
        assert (shapely.get_num_coordinates(islands) == 5).all()
        assert (shapely.area(islands) >= 0.5).all()


@pytest.mark.parametrize("cut_px", [3, 8, 16])
def test_lines_at_crossings_depend_on_no_block(cut_px):
    classes = landscape_like(8, (97, 90), nodata=0)
    whole = polygonize(classes, simplify_px=1, cut_px=cut_px)
    for factor in (1, 2, 3):
        blocks = polygonize(classes, simplify_px=1, cut_px=cut_px, block_px=factor * cut_px)
        assert shapely.to_wkb(blocks.geometry).tolist() == shapely.to_wkb(whole.geometry).tolist()
