"""Small components, against a plain search on the whole raster."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from geoseg.vector.polygonize import polygonize
from tests.vector.class_maps import HARD, NODATA, draw, gdal_polygons, landscape_like, our_polygons, random_maps


def absorbed(classes, least):
    """The oracle: the class map after small components took a neighbour's class."""
    labels, count = np.full(classes.shape, -1), 0
    for value in set(np.unique(classes).tolist()) - {NODATA}:
        found, more = ndimage.label(classes == value)
        labels[found > 0] = found[found > 0] - 1 + count
        count += more
    where = [np.flatnonzero(labels.ravel() == label) for label in range(count)]
    value = {label: int(classes.ravel()[where[label][0]]) for label in range(count)}
    shared = {label: {} for label in range(count)}
    for one, other in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        for a, b in zip(one.ravel().tolist(), other.ravel().tolist(), strict=True):
            if a != b and min(a, b) >= 0:
                shared[a][b] = shared[b][a] = shared[a].get(b, 0) + 1
    placed = {label for label in range(count) if len(where[label]) >= least}
    islands, island_count = ndimage.label(classes != NODATA)
    for island in range(1, island_count + 1):
        members = {label for label in range(count) if islands.ravel()[where[label][0]] == island}
        placed.add(min(members, key=lambda label: (-len(where[label]), value[label], where[label][0])))
    while len(placed) < count:
        chosen = {}
        for label in set(range(count)) - placed:
            near = [
                (-length, value[other], where[other][0]) for other, length in shared[label].items() if other in placed
            ]
            if near:
                chosen[label] = min(near)[1]
        value.update(chosen)
        placed |= set(chosen)
    return np.array([*value.values(), NODATA], np.uint8)[labels] if count else classes


def check(classes, least, cut_px):
    expected = absorbed(classes, least)
    for factor in (1, 2, 5):
        polygons = polygonize(classes, classes, min_area_px=least, cut_px=cut_px, block_px=factor * cut_px)
        assert our_polygons(polygons) == gdal_polygons(expected)
        assert polygons.confidence_sum.sum() == classes[classes != NODATA].sum(dtype=int)


@settings(max_examples=100)
@given(classes=random_maps, least=st.integers(1, 12), cut_px=st.integers(1, 7))
def test_any_map(classes, least, cut_px):
    check(classes, least, cut_px)


@pytest.mark.parametrize("name", HARD)
def test_hard_maps(name):
    for least in (2, 5, 1000):
        check(HARD[name], least, 3)


@pytest.mark.parametrize("least", [2, 5, 20])
def test_a_larger_map(least):
    check(landscape_like(6, (60, 50)), least, 8)


@pytest.mark.parametrize(
    ("picture", "least", "expected"),
    [
        # The longest boundary decides, ...
        ("0000 0120 2222 2222", 3, "0000 0020 2222 2222"),
        # ... then the lowest class.
        ("1113222", 3, "1111222"),
        # Inwards: 5 touches 4 alone, which is small too.
        ("00000 04440 04540 04440 00000", 9, "00000 00000 00000 00000 00000"),
        # Alone in nodata, the largest stands for a large one.
        ("112 ... 000", 3, "111 ... 000"),
    ],
)
def test_by_hand(picture, least, expected):
    assert our_polygons(polygonize(draw(picture), min_area_px=least)) == gdal_polygons(draw(expected))
    assert np.array_equal(absorbed(draw(picture), least), draw(expected))
