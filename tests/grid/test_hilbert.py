import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoseg.grid.hilbert import hilbert_index


def all_cells(rows, cols):
    return [axis.ravel() for axis in np.meshgrid(np.arange(rows), np.arange(cols), indexing="ij")]


def test_the_smallest_curve_by_hand():
    # Up-down first: (0, 0), (1, 0), (1, 1), (0, 1), as in the figure of the source with y downwards.
    assert hilbert_index(np.array([0, 1, 1, 0]), np.array([0, 0, 1, 1]), (2, 2)).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("bits", range(7))
def test_the_curve_visits_each_cell_of_a_square_once_in_unit_steps(bits):
    side = 1 << bits
    rows, cols = all_cells(side, side)
    index = hilbert_index(rows, cols, (side, side))
    assert index.dtype == np.int64
    assert sorted(index) == list(range(side * side))
    order = np.argsort(index)
    steps = abs(np.diff(rows[order])) + abs(np.diff(cols[order]))
    assert (steps == 1).all()
    assert rows[order[0]] == cols[order[0]] == 0


@given(st.integers(1, 40), st.integers(1, 40))
def test_cells_of_any_lattice_differ(rows, cols):
    index = hilbert_index(*all_cells(rows, cols), (rows, cols))
    assert len(np.unique(index)) == rows * cols
    assert index.min() == 0


@given(st.integers(0, 2**30 - 1), st.integers(0, 2**30 - 1))
def test_the_largest_lattice_fits_in_int64(row, col):
    rows, cols = 2 * row + np.array([0, 0, 1, 1]), 2 * col + np.array([0, 1, 0, 1])
    quad = sorted(hilbert_index(rows, cols, (2**31, 2**31)))
    assert quad == list(range(quad[0], quad[0] + 4))
    assert quad[0] % 4 == 0
    assert 0 <= quad[0] < 2**62


def test_a_cell_outside_is_refused():
    with pytest.raises(ValueError, match="outside the lattice"):
        hilbert_index(np.array([3]), np.array([0]), (3, 5))
    with pytest.raises(ValueError, match="outside the lattice"):
        hilbert_index(np.array([0]), np.array([-1]), (3, 5))
    with pytest.raises(ValueError, match="more than"):
        hilbert_index(np.array([0]), np.array([0]), (2**31 + 1, 1))


def test_no_cells():
    assert hilbert_index(np.empty(0, np.int64), np.empty(0, np.int64), (3, 5)).shape == (0,)
