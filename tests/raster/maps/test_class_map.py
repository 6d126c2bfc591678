"""Strips of a class map, whatever its width."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geoseg.raster.maps import class_map
from geoseg.raster.maps.class_map import class_map_grid, class_map_strips

SHAPE = (61, 37)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(rows=st.integers(1, 70), pixels=st.integers(1, 3000))
def test_strips_are_the_class_map(make: Callable[..., Path], rows: int, pixels: int) -> None:
    classes = np.random.default_rng(0).integers(0, 256, (1, *SHAPE)).astype(np.uint8)
    path = make(classes, tiled=True, blockxsize=16, blockysize=16)
    grid = class_map_grid(path)
    assert (grid.height, grid.width) == SHAPE
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(class_map, "STRIP_ROWS", rows)
        patch.setattr(class_map, "STRIP_PIXELS", pixels)
        strips = list(class_map_strips(path))
    assert [row for row, _ in strips] == np.cumsum([0, *(len(strip) for _, strip in strips)])[:-1].tolist()
    assert max(len(strip) for _, strip in strips) <= min(rows, max(1, pixels // SHAPE[1]))
    np.testing.assert_array_equal(np.vstack([strip for _, strip in strips]), classes[0])
