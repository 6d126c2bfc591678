"""No ground is in two splits, whatever the scenes' grids, and training keeps its distance."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS, Transformer
from scipy.ndimage import maximum_filter

from geoseg.errors import SettingsError
from geoseg.grid.window import Grid, Window
from geoseg.train.data.ground import TEST, TRAINING, UNUSED, VALIDATION, Split, draw_split, make_cells

UTM32, UTM33 = CRS("EPSG:32632").to_wkt(), CRS("EPSG:32633").to_wkt()


def grid(crs: str, x: float, y: float, pixel: float = 10.0, size: int = 64) -> Grid:
    return Grid(size, size, (pixel, 0.0, x, 0.0, -pixel, y), crs)


def drawn(grids: list[Grid], cell_px: int, guard_px: int, seed: int) -> Split:
    cells = make_cells(grids, cell_px)
    codes = {
        int(code)
        for number, one in enumerate(grids, 1)
        for code in np.unique(cells.codes(one, middles(one, one.window), number))
    }
    ordered = np.array(sorted(codes))
    owners = np.random.default_rng(seed).integers(0, 3, len(ordered)).astype(np.uint8)
    return Split(cells, ordered, owners, guard_px * cells.pixel, {})


def middles(one: Grid, window: Window) -> np.ndarray:
    return np.stack(np.meshgrid(*(np.arange(*span) + 0.5 for span in window.ranges[::-1])), axis=-1)


@settings(max_examples=60, deadline=None)
@given(cell_px=st.integers(8, 40), guard_px=st.integers(0, 8), seed=st.integers(0, 99))
def test_training_ground_keeps_its_distance(cell_px: int, guard_px: int, seed: int) -> None:
    one = grid(UTM32, 480_003.0, 5_480_007.0)
    owners = drawn([one], cell_px, guard_px, seed).owner_of(one, one.window, 1)
    for held, others in ((TEST, (TRAINING, VALIDATION)), (VALIDATION, (TRAINING,))):
        # The square of pixels that can reach held-out ground, as scipy grows it.
        near = maximum_filter((owners == held).astype(np.uint8), 2 * guard_px + 1) > 0
        for other in others:
            assert not (near & (owners == other)).any()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 99), row=st.integers(0, 40), col=st.integers(0, 40))
def test_windows_do_not_decide(seed: int, row: int, col: int) -> None:
    one = grid(UTM32, 480_003.0, 5_480_007.0)
    split = drawn([one], 20, 3, seed)
    window = Window(row, col, 20, 24)
    whole = split.owner_of(one, one.window, 1)
    np.testing.assert_array_equal(split.owner_of(one, window, 1), whole[window.slices(one.window)])


def test_scenes_of_two_zones_share_their_ground() -> None:
    first = grid(UTM32, 780_000.0, 5_480_000.0)
    there = Transformer.from_crs(UTM32, UTM33, always_xy=True)
    x, y = there.transform(780_000.0, 5_480_000.0)
    second = grid(UTM33, x, y)
    split = drawn([first, second], 16, 0, 3)
    owners = split.owner_of(first, first.window, 1)
    # The same places, asked for in the pixels of the other scene.
    place = middles(first, first.window)
    xy = np.stack(there.transform(*np.moveaxis(first.to_crs(place), -1, 0)), axis=-1)
    pixel = second.to_pixel(xy)
    inside = ((pixel > 1) & (pixel < 63)).all(axis=-1)
    codes = split.cells.codes(second, pixel[inside], 2)
    np.testing.assert_array_equal(codes, split.cells.codes(first, place[inside], 1))
    assert inside.mean() > 0.8
    assert {TRAINING, VALIDATION, TEST} == {*np.unique(owners).tolist()}


def test_scenes_without_crs_are_ground_of_their_own() -> None:
    one = Grid(32, 32, (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), "")
    cells = make_cells([one, one], 8)
    place = middles(one, one.window)
    assert not {*cells.codes(one, place, 1).ravel().tolist()} & {*cells.codes(one, place, 2).ravel().tolist()}


@given(col=st.integers(-(10**6), 10**6), row=st.integers(-(10**6), 10**6))
def test_a_cell_holds_its_places(col: int, row: int) -> None:
    one = grid(UTM32, 480_000.0, 5_480_000.0)
    cells = make_cells([one], 12)
    place = np.array([col + 0.5, row + 0.5])
    xmin, ymin, xmax, ymax = cells.bounds(int(cells.codes(one, place, 1)))
    x, y = one.to_crs(place)
    assert xmin <= x < xmax
    assert ymin <= y < ymax


def test_the_drawn_split_has_its_shares_and_all_classes() -> None:
    rng = np.random.default_rng(0)
    counts = np.zeros((40, 3), np.int64)
    counts[:, 0] = rng.integers(500, 1000, 40)
    counts[rng.permutation(40)[:9], 1] = 300  # a class that is in few cells
    counts[rng.permutation(40)[:9], 2] = 200
    owners = draw_split(counts, 0.2, 0.2, 0)
    assert np.bincount(owners).tolist() == [24, 8, 8]
    for split in range(3):
        assert (counts[owners == split].sum(0) > 0).all()
    np.testing.assert_array_equal(owners, draw_split(counts, 0.2, 0.2, 0))
    assert (owners != draw_split(counts, 0.2, 0.2, 1)).any()


def test_too_few_cells_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"2 cells of ground, too few to hold out 2.*split\.cell_px"):
        draw_split(np.ones((2, 1), np.int64), 0.2, 0.2, 0)


def test_ground_without_labels_is_unused() -> None:
    one = grid(UTM32, 480_000.0, 5_480_000.0)
    cells = make_cells([one], 32)
    code = cells.codes(one, np.array([[1.5, 1.5]]), 1)
    split = Split(cells, code, np.array([TRAINING], np.uint8), 0.0, {})
    owners = split.owner_of(one, one.window, 1)
    assert {*np.unique(owners).tolist()} == {TRAINING, UNUSED}
