import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoseg.grid.window import Grid, Window

windows = st.builds(Window, st.integers(-9, 9), st.integers(-9, 9), st.integers(1, 9), st.integers(1, 9))


def pixels_of(window: Window) -> set[tuple[int, int]]:
    return {(r, c) for r in range(window.row, window.row_stop) for c in range(window.col, window.col_stop)}


@given(windows, windows)
def test_intersection_holds_the_common_pixels(a: Window, b: Window) -> None:
    common = a.intersect(b)
    assert (pixels_of(common) if common else set()) == pixels_of(a) & pixels_of(b)
    assert a.contains(b) == (pixels_of(b) <= pixels_of(a))


@given(windows, windows)
def test_slices_index_the_windows_own_pixels(a: Window, b: Window) -> None:
    common = a.intersect(b)
    if common is None:
        return
    rows, cols = np.mgrid[a.row : a.row_stop, a.col : a.col_stop]
    at = common.slices(a)
    assert set(zip(rows[at].ravel().tolist(), cols[at].ravel().tolist(), strict=True)) == pixels_of(common)


def test_slices_outside_the_array_are_refused() -> None:
    with pytest.raises(ValueError, match="rows 0:3, columns 0:2 reaches outside rows 0:2, columns 0:2"):
        Window(0, 0, 3, 2).slices(Window(0, 0, 2, 2))


@pytest.mark.parametrize(("height", "width"), [(0, 1), (1, 0), (-1, 3)])
def test_an_empty_window_cannot_be_built(height: int, width: int) -> None:
    with pytest.raises(ValueError, match=f"height={height}, width={width}"):
        Window(0, 0, height, width)


def test_a_grid_refuses_a_transform_without_area() -> None:
    with pytest.raises(ValueError, match="area of zero"):
        Grid(2, 2, (1, 1, 0, 1, 1, 0), "")


@pytest.mark.parametrize(
    ("transform", "why"),
    [
        ((1, 0, float("nan"), 0, -1, 0), "not finite"),
        ((1, 0, float("inf"), 0, -1, 0), "not finite"),
        ((1, 0, 1e300, 0, -1, 0), "distinguish its pixels"),
        ((1e-9, 0, 500_000, 0, -1e-9, 5_000_000), "distinguish its pixels"),
        ((1e200, 0, 0, 0, -1e200, 0), "distinguish its pixels"),
    ],
)
def test_a_grid_refuses_coordinates_that_float64_cannot_hold(transform: tuple[float, ...], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Grid(9, 9, transform, "")


def test_a_grid_accepts_small_pixels_far_from_the_origin() -> None:
    assert Grid(100_000, 100_000, (1e-3, 0, 500_000, 0, -1e-3, 9_999_999), "").pixel_area == pytest.approx(1e-6)
    assert Grid(100_000, 100_000, (1e-8, 0, 179.9, 0, -1e-8, 89.9), "").pixel_area == pytest.approx(1e-16)


def test_pixel_area_of_a_rotated_grid() -> None:
    cos, sin = np.cos(0.3), np.sin(0.3)
    grid = Grid(2, 2, (10 * cos, 10 * sin, 5, 10 * sin, -10 * cos, 7), "")
    assert grid.pixel_area == pytest.approx(100)


def test_to_crs_applies_the_transform_and_to_pixel_inverts_it():
    grid = Grid(30, 40, (3.0, 1.0, 500_000.3, 1.0, -3.0, 4_000_000.7), "")
    pixel = np.array([[[0, 0], [40, 0]], [[7.5, 21], [40, 30]]], np.float64)
    assert grid.to_crs(pixel)[1, 0].tolist() == [3 * 7.5 + 21 + 500_000.3, 7.5 - 3 * 21 + 4_000_000.7]
    np.testing.assert_allclose(grid.to_pixel(grid.to_crs(pixel)), pixel, atol=1e-9)
