"""Holes, against a plain search on the whole raster."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from geoseg.vector.polygonize import polygonize
from tests.vector.class_maps import HARD, NODATA, draw, gdal_polygons, landscape_like, our_polygons, random_maps
from tests.vector.test_minimum_area import absorbed


def components(classes):
    """Masks of all components, by class."""
    for value in sorted(set(np.unique(classes).tolist()) - {NODATA}):
        labels, count = ndimage.label(classes == value)
        for label in range(1, count + 1):
            yield value, labels == label


def filled(classes, least):
    """The oracle: the class map after the outermost holes below ``least`` of the class around them were filled."""
    valid = np.pad(classes, 1, constant_values=NODATA) != NODATA
    holes = []
    for value, mask in components(classes):
        labels, count = ndimage.label((classes != NODATA) & ~mask)
        for label in range(1, count + 1):
            hole = labels == label
            grown = ndimage.binary_dilation(np.pad(hole, 1))
            if not (grown & ~valid).any() and hole.sum() < least.get(value, 0):
                holes.append((value, hole))
    result = classes.copy()
    for value, hole in holes:
        if not any((hole & ~other).sum() == 0 and other.sum() > hole.sum() for _, other in holes):
            result[hole] = value
    return result


def check(classes, least, cut_px, small=1):
    of_class = dict.fromkeys(range(255), least) if isinstance(least, int) else least
    expected = absorbed(filled(classes, of_class), small)
    for factor in (1, 2, 5):
        options = {"cut_px": cut_px, "block_px": factor * cut_px, "fill_holes_px": least, "min_area_px": small}
        polygons = polygonize(classes, classes, **options)
        assert our_polygons(polygons) == gdal_polygons(expected)
        assert polygons.confidence_sum.sum() == classes[classes != NODATA].sum(dtype=int)
    return expected


@settings(max_examples=50)
@given(
    classes=random_maps,
    least=st.one_of(st.integers(1, 40), st.dictionaries(st.integers(0, 2), st.integers(1, 40))),
    cut_px=st.integers(1, 7),
    small=st.integers(1, 4),
)
def test_any_map(classes, least, cut_px, small):
    check(classes, least, cut_px, small)


@pytest.mark.parametrize("name", HARD)
def test_hard_maps(name):
    for least in (2, 5, 1000):
        check(HARD[name], least, 3)


@pytest.mark.parametrize("least", [2, 9, 60, {0: 3, 2: 40}])
def test_a_larger_map(least):
    classes = landscape_like(6, (60, 50), nodata=0.02)
    expected = check(classes, least, 8, 3)
    assert (expected != classes).sum() > 20


def test_rings_around_each_other():
    """A stack far deeper than a call stack may be: each ring is a hole in the next one."""
    size = 1501
    row, col = np.indices((size, size))
    depth = np.minimum(np.minimum(row, col), np.minimum(size - 1 - row, size - 1 - col))
    classes = (depth % 2).astype(np.uint8)
    assert len(polygonize(classes, fill_holes_px=size * size)) == 1
    polygons = polygonize(classes, fill_holes_px=26)
    assert len(polygons) == depth.max() - 2
    assert polygons.pixels[-1] == 49


@pytest.mark.parametrize(
    ("picture", "least", "expected"),
    [
        # Everything in a hole goes with it, ...
        ("00000 01110 01210 01110 00000", 10, "00000 00000 00000 00000 00000"),
        # ... but not if only its middle is small enough.
        ("00000 01110 01210 01110 00000", 9, "00000 01110 01110 01110 00000"),
        # Areas that touch in a corner are two holes.
        ("0000 0100 0020 0000", 2, "0000 0000 0000 0000"),
        # A hole around nodata stays, as does one beside it.
        ("00000 01110 01.10 01110 00000", 99, "00000 01110 01.10 01110 00000"),
        # An open ring has no hole.
        ("0000 0110 0010 2222", 99, "0000 0110 0010 2222"),
    ],
)
def test_by_hand(picture, least, expected):
    assert our_polygons(polygonize(draw(picture), fill_holes_px=least)) == gdal_polygons(draw(expected))
    assert np.array_equal(filled(draw(picture), dict.fromkeys(range(9), least)), draw(expected))


def test_the_class_around_a_hole_decides():
    classes = draw("0000000 0111110 0121310 0111110 0000000")
    assert len(polygonize(classes, fill_holes_px={0: 99, 1: 1})) == 1
    assert len(polygonize(classes, fill_holes_px={1: 99})) == 2
    assert len(polygonize(classes, fill_holes_px={2: 99, 3: 99})) == 4


def test_a_minimum_area_by_class():
    classes = draw("1020 1020 3333 3333")
    least = {2: 3, 3: 3}
    assert our_polygons(polygonize(classes, min_area_px=least)) == gdal_polygons(draw("1000 1000 3333 3333"))
    assert shapely.coverage_is_valid(polygonize(classes, min_area_px=least, simplify_px=1).geometry)
