"""The majority filter against a plain loop over pixels, whole and in blocks."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from geoseg.grid.legend import NODATA_CLASS
from geoseg.grid.neighbours import NEIGHBOUR_STEPS
from geoseg.grid.smoothing import add_edges, smooth, take_edges

Classes = np.ndarray
CLASSES = st.sampled_from([0, 1, 2, 9, NODATA_CLASS])


def slow(classes: Classes, radius: int) -> Classes:
    found = classes.copy()
    for row, col in np.ndindex(classes.shape):
        around = classes[max(0, row - radius) : row + radius + 1, max(0, col - radius) : col + radius + 1]
        votes = Counter(around[around != NODATA_CLASS].tolist())
        own = classes[row, col]
        if own != NODATA_CLASS and votes[own] < max(votes.values()):
            found[row, col] = min(value for value, count in votes.items() if count == max(votes.values()))
    return found


def by_blocks(classes: Classes, radius: int, side: int) -> Classes:
    rows, cols = (-(-length // side) for length in classes.shape)
    blocks = {
        (row, col): classes[row * side : (row + 1) * side, col * side : (col + 1) * side]
        for row in range(rows)
        for col in range(cols)
    }
    edges = {place: take_edges(block, radius) for place, block in blocks.items()}
    found = np.empty_like(classes)
    for (row, col), block in blocks.items():
        around = {
            (down, right): edges[row + down, col + right]
            for down, right in NEIGHBOUR_STEPS
            if (row + down, col + right) in blocks
        }
        found[row * side : (row + 1) * side, col * side : (col + 1) * side] = smooth(
            add_edges(block, around, radius), radius
        )
    return found


@given(
    arrays(np.uint8, st.tuples(st.integers(1, 14), st.integers(1, 14)), elements=CLASSES),
    st.integers(1, 4),
    st.integers(0, 5),
)
def test_blocks_and_the_whole_are_the_plain_loop(classes: Classes, radius: int, more: int) -> None:
    expected = slow(classes, radius)
    assert np.array_equal(smooth(np.pad(classes, radius, constant_values=NODATA_CLASS), radius), expected)
    assert np.array_equal(by_blocks(classes, radius, radius + more), expected)


@pytest.mark.parametrize("rows", [255, 256, 257, 600])
def test_strips_do_not_show(rows: int) -> None:
    classes = np.random.default_rng(0).integers(0, 4, (rows, 9), dtype=np.uint8)
    assert np.array_equal(smooth(np.pad(classes, 2, constant_values=NODATA_CLASS), 2), slow(classes, 2))


def test_a_lonely_pixel_goes_and_a_large_region_stays() -> None:
    classes = np.zeros((12, 12), np.uint8)
    classes[5, 5] = 1
    classes[:, 9:] = 2
    found = slow(classes, 1)
    assert found[5, 5] == 0
    assert (found[:, 9:] == 2).all()
    assert np.array_equal(smooth(np.pad(classes, 1, constant_values=NODATA_CLASS), 1), found)
