"""Pixels of another raster under the pixels of a scene: exact, and independent of the window."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS, Transformer

from geoseg.grid.window import Grid, Window
from geoseg.raster.validity.lookup import NOWHERE, find_pixels


def grid(crs: Any, transform: tuple[float, ...], height: int = 90, width: int = 110) -> Grid:
    return Grid(height, width, transform, CRS.from_user_input(crs).to_wkt())


SCENE = grid(32632, (10, 0, 480_000, 0, -10, 5_480_000))
OTHERS = {
    "same grid": SCENE,
    "20 m": grid(32632, (20, 0, 480_000, 0, -20, 5_480_000)),
    "60 m, shifted": grid(32632, (60, 0, 479_980, 0, -60, 5_480_040)),
    "5 m": grid(32632, (5, 0, 480_000, 0, -5, 5_480_000)),
    "south up": grid(32632, (20, 0, 480_000, 0, 20, 5_479_000)),
    "rotated": grid(32632, (9, 4, 480_000, 4, -9, 5_480_000)),
    "neighbouring zone": grid(32633, (20, 0, 43_000, 0, -20, 5_500_000)),
    "degrees": grid(4326, (0.0003, 0, 8.7, 0, -0.0002, 49.5)),
}
WINDOWS = st.builds(
    Window.from_bounds, st.integers(0, 44), st.integers(0, 54), st.integers(45, 90), st.integers(55, 110)
)


def whole(scene: Grid, other: Grid, window: Window) -> np.ndarray:
    return np.stack(np.broadcast_arrays(*find_pixels(scene, other, window)))


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("scene", [SCENE, OTHERS["rotated"]], ids=["upright", "rotated"])
def test_the_pixel_that_holds_the_centre(name: str, scene: Grid) -> None:
    other = OTHERS[name]
    rows, cols = np.mgrid[: scene.height, : scene.width] + 0.5
    xy = scene.to_crs(np.stack([cols, rows], axis=-1).reshape(-1, 2))
    moved = np.column_stack(Transformer.from_crs(scene.crs, other.crs, always_xy=True).transform(*xy.T))
    exact = other.to_pixel(moved)[:, ::-1].T.reshape(2, *rows.shape)
    clear = np.abs(exact - np.rint(exact)) > 1e-4
    found = whole(scene, other, scene.window)
    assert clear.mean() > 0.7 or name == "5 m"
    np.testing.assert_array_equal(found[clear], np.floor(exact)[clear])
    # A centre on a boundary belongs to the pixel beyond it, in all rows alike.
    np.testing.assert_array_equal(found, np.floor(np.round(exact, 3)) if name in ("5 m", "20 m") else found)


@pytest.mark.parametrize("name", OTHERS)
@given(window=WINDOWS)
@settings(max_examples=30, deadline=None)
def test_a_place_does_not_depend_on_the_window(name: str, window: Window) -> None:
    expected = whole(SCENE, OTHERS[name], SCENE.window)[:, *window.slices(SCENE.window)]
    np.testing.assert_array_equal(whole(SCENE, OTHERS[name], window), expected)


def test_a_place_without_the_other_crs_is_nowhere() -> None:
    globe = grid(4326, (1, 0, -180, 0, -1, 90), 180, 360)
    found = whole(globe, SCENE, globe.window)
    assert (found == NOWHERE).any()
    assert found.shape == (2, 180, 360)
