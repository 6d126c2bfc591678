"""The median of valid dates, against numpy's."""

from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoseg.grid.window import Window
from geoseg.raster import read_sources
from geoseg.raster.bands import BandSelection
from geoseg.raster.mosaic.median import median_of_valid
from geoseg.raster.read import read_window
from tests.raster.test_mosaic import mosaic, place


@given(
    st.integers(1, 9), st.sampled_from(["uint8", "int16", "uint16", "float32", "float64"]), st.floats(0, 1),
    st.integers(0, 1 << 30),
)  # fmt: skip
def test_it_is_numpys(dates: int, dtype: Any, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    low, high = (-1000, 1000) if np.dtype(dtype).kind == "f" else (np.iinfo(dtype).min, np.iinfo(dtype).max + 1)
    stack = rng.integers(low, high, (dates, 2, 3, 4)).astype(dtype)
    valid = rng.random((dates, 3, 4)) < share
    known = np.ma.masked_array(stack.astype(np.float64), np.broadcast_to(~valid[:, None], stack.shape))
    expected = np.ma.median(known, axis=0).filled(0)
    if np.dtype(dtype).kind != "f":
        expected = np.floor(expected)
    found = median_of_valid(stack[rng.permutation(dates)] if valid.all() else stack.copy(), valid)
    np.testing.assert_array_equal(found, expected.astype(dtype))


@pytest.fixture
def files(tmp_path: Any) -> tuple[list[Any], np.ndarray]:
    """Five files of 60 x 70 pixels with holes, two pixels apart; the median of what covers a pixel."""
    rng = np.random.default_rng(0)
    paths, layers = [], np.zeros((5, 2, 68, 78))
    layers[:] = np.nan
    for number in range(5):
        pixels = rng.integers(1, 5000, (2, 60, 70)).astype(np.uint16)
        pixels[:, rng.random((60, 70)) < 0.3] = 0
        row = col = 2 * number
        paths.append(place(tmp_path, f"{number}", pixels, row, col, nodata=0))
        layers[number, :, row : row + 60, col : col + 70] = np.where(pixels == 0, np.nan, pixels)
    known = np.ma.masked_invalid(layers)
    return paths, np.ma.median(known, axis=0).filled(0)


@pytest.mark.parametrize("limit_bytes", [1 << 27, 40_000, 1])
def test_a_mosaic_takes_the_median_of_the_dates_in_bounded_memory(
    files: tuple[list[Any], np.ndarray], limit_bytes: int
) -> None:
    paths, expected = files
    scene = mosaic(paths[::-1] if limit_bytes == 40_000 else paths, pick="median")
    largest = 0

    def watch(stack: Any, valid: Any) -> Any:
        nonlocal largest
        largest = max(largest, stack.nbytes)
        return median_of_valid(stack, valid)

    window = Window(0, 0, 68, 78) if limit_bytes > 1 else Window(30, 30, 2, 3)
    with patch.object(read_sources, "MEDIAN_BYTES", limit_bytes), patch.object(read_sources, "median_of_valid", watch):
        pixels, valid = read_window(scene, BandSelection((1, 2)), window)
    at = window.slices(Window(0, 0, 68, 78))
    np.testing.assert_array_equal(pixels, np.floor(expected[:, *at]))
    np.testing.assert_array_equal(valid, (expected[:, *at] > 0).any(axis=0))
    assert 0 < largest <= max(limit_bytes, 5 * 2 * 2)
