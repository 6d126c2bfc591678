"""The flood from the rim: that of the whole scene for any tiles, and only where it must look."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import label

from geoseg.grid.window import Window
from geoseg.raster.validity.flood import flood
from geoseg.raster.validity.scanline import paint

MASKS = st.tuples(st.integers(1, 24), st.integers(1, 24)).flatmap(lambda shape: arrays(bool, shape))


@given(MASKS, st.sampled_from([1, 3, 7, 64]))
def test_what_is_connected_with_the_rim(mask: np.ndarray, tile_px: int) -> None:
    whole = Window(0, 0, *mask.shape)
    regions, _ = label(mask)
    rim = np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]])
    runs = flood(mask.shape, lambda window: mask[window.slices(whole)], tile_px)
    np.testing.assert_array_equal(paint(runs, whole), np.isin(regions, rim[rim > 0]))
    assert (np.diff(runs, axis=0)[:, 0] >= 0).all()
    touching = (runs[1:, 0] == runs[:-1, 0]) & (runs[1:, 1] <= runs[:-1, 2])
    assert not touching.any()


def test_a_spiral_is_followed_through_its_tiles() -> None:
    mask = np.zeros((63, 63), bool)
    row, col, step = 0, 0, (0, 1)
    mask[0, 0] = True
    for length in [62, *(length for side in range(60, 0, -4) for length in (side, side))]:
        for _ in range(length):
            row, col = row + step[0], col + step[1]
            if not (0 <= row < 63 and 0 <= col < 63):
                break
            mask[row, col] = True
        row, col, step = min(row, 62), min(col, 62), (step[1], -step[0])
    whole = Window(0, 0, 63, 63)
    found = [paint(flood((63, 63), lambda window: mask[window.slices(whole)], tile), whole) for tile in (5, 100)]
    np.testing.assert_array_equal(*found)


def test_tiles_inside_the_picture_are_not_read() -> None:
    read = []

    def passable(window: Window) -> np.ndarray:
        read.append(window)
        rows, cols = np.indices(window.shape) + np.array([window.row, window.col])[:, None, None]
        return (rows < 3) | (cols > 995)

    flood((1000, 1000), passable, 100)
    assert len(read) == len(set(read)) == 36
    assert all(window.row in (0, 900) or window.col in (0, 900) for window in read)
