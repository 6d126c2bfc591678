"""Resampling axis by axis against GDAL's warper, and against itself in other windows."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS
from rasterio.enums import Resampling
from rasterio.transform import Affine
from rasterio.warp import reproject
from scipy.ndimage import minimum_filter

from geoseg.grid.window import Grid, Window
from geoseg.raster.mosaic.resample import find_taps, resample
from tests.support.scenes import TRANSFORM

METHODS = ("nearest", "bilinear", "cubic")
UTM32, UTM33 = (CRS.from_epsg(code).to_wkt() for code in (32632, 32633))


def grid(height: int, width: int, side: float, col: float = 0.0, row: float = 0.0) -> Grid:
    moved = TRANSFORM @ Affine.translation(col, row) @ Affine.scale(side)
    a, b, c, d, e, f = moved[:6]
    return Grid(height, width, (a, b, c, d, e, f), UTM32)


def computed(
    pixels: np.ndarray, valid: np.ndarray, inner: Grid, outer: Grid, window: Window, method: Any
) -> tuple[np.ndarray, np.ndarray]:
    taps = find_taps(inner, outer, window, method)
    assert taps is not None
    (top, bottom), (left, right) = (axis.span for axis in taps)
    return resample(pixels[:, top:bottom, left:right], valid[top:bottom, left:right], *taps)


def scene(seed: int, height: int, width: int, dtype: str, holes: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 250, (2, height, width)).astype(dtype)
    return pixels, rng.random((height, width)) >= holes


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
@pytest.mark.parametrize("side", [1.5, 2, 3, 6, 0.5, 0.3])
def test_values_are_those_of_the_warper(method: Any, dtype: str, side: float) -> None:
    """The grids share no corner, so that no centre lies on a boundary between two pixels."""
    pixels, valid = scene(1, 40, 50, dtype, 0.0)
    inner, outer = grid(40, 50, side, 0.23, 0.41), grid(round(40 * side) + 3, round(50 * side) + 3, 1)
    found, known = computed(pixels, valid, inner, outer, outer.window, method)
    source = np.concatenate([pixels, valid[None].astype(pixels.dtype)])
    expected = np.zeros((3, *outer.window.shape), pixels.dtype)
    scale = str(min(1.0, side))
    reproject(
        source, expected, src_transform=Affine(*inner.transform), src_crs=UTM32, dst_transform=Affine(*outer.transform),
        dst_crs=UTM32, src_alpha=3, dst_alpha=3, resampling=Resampling[method], SRC_ALPHA_MAX="1", DST_ALPHA_MAX="1",
        XSCALE=scale, YSCALE=scale,
    )  # fmt: skip
    np.testing.assert_array_equal(known, expected[2] > 0)
    if method == "cubic":  # at the edge of the source GDAL falls back to bilinear
        known = minimum_filter(known, 2 * round(3 * max(1, side)) + 1, mode="constant", cval=0)
    differences = np.abs(found[:, known].astype(float) - expected[:2, known].astype(float))
    assert differences.max() <= (0 if method == "nearest" else 1 if dtype != "float32" else 0.01)
    assert (differences > 0.01).mean() < 0.01


@given(
    st.integers(0, 1000), st.sampled_from([0.4, 1.5, 2.0, 3.7]), st.sampled_from(METHODS),
    st.sampled_from(["uint16", "float64"]), st.sampled_from([0.0, 0.2, 0.9]),
)  # fmt: skip
def test_a_pixel_does_not_depend_on_the_window(seed: int, side: float, method: Any, dtype: str, holes: float) -> None:
    rng = np.random.default_rng(seed)
    pixels, valid = scene(seed, 31, 37, dtype, holes)
    inner, outer = grid(31, 37, side, rng.random() * 4 - 2, rng.random() * 4 - 2), grid(80, 90, 1)
    whole, known = computed(pixels, valid, inner, outer, outer.window, method)
    row, col = rng.integers(0, 70, 2).tolist()
    window = Window(row, col, *rng.integers(1, 90, 2).tolist()).intersect(outer.window)
    assert window is not None
    part, found = computed(pixels, valid, inner, outer, window, method)
    np.testing.assert_array_equal(part, whole[:, *window.slices(outer.window)])
    np.testing.assert_array_equal(found, known[window.slices(outer.window)])


@pytest.mark.parametrize("method", ["bilinear", "cubic"])
def test_invalid_pixels_do_not_count(method: Any) -> None:
    """Whatever they hold, the value is a mean of valid ones: of a constant that constant."""
    pixels, valid = scene(3, 30, 30, "uint16", 0.4)
    pixels[:, valid], pixels[:, ~valid] = 777, 65_000
    found, known = computed(pixels, valid, grid(30, 30, 2.5), grid(75, 75, 1), Window(0, 0, 75, 75), method)
    assert known.any()
    assert (found[:, known] == 777).all()


def test_other_grids_must_be_warped() -> None:
    outer, window = grid(10, 10, 1), Window(0, 0, 10, 10)
    turned = Grid(10, 10, (10.0, 1.0, 480_000.0, 1.0, -10.0, 5_480_000.0), UTM32)
    mirrored = Grid(10, 10, (10.0, 0.0, 480_000.0, 0.0, 10.0, 5_479_900.0), UTM32)
    elsewhere = Grid(10, 10, outer.transform, UTM33)
    for inner in (turned, mirrored, elsewhere):
        assert find_taps(inner, outer, window, "bilinear") is None
