"""Counts of pixels do not depend on the windows, and boundaries are those of the paper."""

from functools import reduce
from operator import add

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion
from sklearn.metrics import confusion_matrix

from geoseg.evaluate.counts import Counts, count_pairs, count_window, near_boundary

IDS = st.sampled_from([0, 1, 2, 255])


def maps(rows: int, cols: int) -> st.SearchStrategy[NDArray[np.uint8]]:
    return arrays(np.uint8, (rows, cols), elements=IDS)


@given(maps(9, 11), maps(9, 11))
def test_pairs_are_those_of_scikit_learn(labels: NDArray[np.uint8], predicted: NDArray[np.uint8]) -> None:
    known = (labels != 255) & (predicted != 255)
    expected = np.zeros((3, 3), np.int64)
    if known.any():
        expected = confusion_matrix(labels[known], predicted[known], labels=range(3))
    np.testing.assert_array_equal(count_pairs(labels, predicted, 3), expected)


@given(maps(9, 11), st.integers(1, 3))
def test_a_pixel_is_near_a_boundary_if_another_class_is_within_the_distance(
    ids: NDArray[np.uint8], distance: int
) -> None:
    expected = np.zeros(ids.shape, bool)
    for row, col in np.ndindex(ids.shape):
        around = ids[max(0, row - distance) : row + distance + 1, max(0, col - distance) : col + distance + 1]
        expected[row, col] = ids[row, col] != 255 and bool(((around != ids[row, col]) & (around != 255)).any())
    np.testing.assert_array_equal(near_boundary(ids, distance), expected)


@pytest.mark.parametrize("distance", [1, 2, 5])
def test_boundaries_are_a_mask_without_its_erosion(distance: int) -> None:
    ids = np.random.default_rng(0).integers(0, 3, (6, 8), np.uint8).repeat(9, 0).repeat(7, 1)
    for class_id in range(3):
        mask = ids == class_id
        inner = binary_erosion(mask, np.ones((3, 3)), iterations=distance, border_value=1)
        np.testing.assert_array_equal(near_boundary(ids, distance) & mask, mask & ~inner)


@given(
    maps(13, 17),
    maps(13, 17),
    arrays(np.uint8, (13, 17)),
    st.integers(1, 4),
    st.integers(1, 13),
    st.integers(1, 17),
)
def test_windows_give_the_counts_of_the_whole(
    labels: NDArray[np.uint8],
    predicted: NDArray[np.uint8],
    confidence: NDArray[np.uint8],
    distance: int,
    rows: int,
    cols: int,
) -> None:
    def count(row: int, col: int, height: int, width: int) -> Counts:
        top, left = min(row, distance), min(col, distance)
        part = np.s_[row - top : row + height + distance, col - left : col + width + distance]
        core = np.s_[top : top + height, left : left + width]
        return count_window(labels[part], predicted[part], confidence[part], classes=3, boundary_px=distance, core=core)

    whole = count(0, 0, 13, 17)
    parts = [count(row, col, rows, cols) for row in range(0, 13, rows) for col in range(0, 17, cols)]
    total = reduce(add, parts)
    for name in ("confusion", "unpredicted", "boundary", "confidence"):
        np.testing.assert_array_equal(getattr(total, name), getattr(whole, name))
    both = (labels != 255) & (predicted != 255)
    assert whole.confusion.sum() == whole.confidence.sum() == both.sum()
    assert whole.unpredicted.sum() == ((labels != 255) & (predicted == 255)).sum()
