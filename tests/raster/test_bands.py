"""Which bands feed the model: never a guess."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

from geoseg.errors import SceneError
from geoseg.raster.bands import BandSelection, describe_warnings, select_bands
from geoseg.raster.scene import Scene, describe

SceneOf = Callable[..., Scene]


@pytest.fixture
def scene_of(make: Callable[..., Path]) -> SceneOf:
    """Build a scene of so many bands, one of which may be tagged alpha."""

    def build(bands: int, alpha: int | None = None) -> Scene:
        path = make(np.ones((bands, 8, 8), np.uint8))
        with rasterio.open(path, "r+") as dataset:
            dataset.colorinterp = [ColorInterp.alpha if i + 1 == alpha else ColorInterp.undefined for i in range(bands)]
        return describe(path)

    return build


def test_as_many_bands_as_wanted(scene_of: SceneOf) -> None:
    assert select_bands(scene_of(3), 3) == BandSelection((1, 2, 3), None, "any")


def test_left_over_alpha_is_the_mask(scene_of: SceneOf) -> None:
    assert select_bands(scene_of(4, alpha=4), 3) == BandSelection((1, 2, 3), 4)


def test_alpha_that_the_model_claims_is_no_mask(scene_of: SceneOf) -> None:
    scene = scene_of(4, alpha=4)
    assert select_bands(scene, 4) == BandSelection((1, 2, 3, 4), None)
    assert select_bands(scene, 3, [4, 1, 2]) == BandSelection((4, 1, 2), None)


def test_explicit_bands_keep_order_and_may_repeat(scene_of: SceneOf) -> None:
    assert select_bands(scene_of(13), 3, [8, 3, 8]).bands == (8, 3, 8)


def test_mask_band_replaces_alpha(scene_of: SceneOf) -> None:
    assert select_bands(scene_of(5, alpha=4), 3, mask_band=5) == BandSelection((1, 2, 3), 5)


def test_too_few_bands(scene_of: SceneOf) -> None:
    wanted = r"model wants 4 bands \(red, green, blue, nir\), .*scene.tif has 3. Use scene.bands"
    with pytest.raises(SceneError, match=wanted):
        select_bands(scene_of(3), 4, names=("red", "green", "blue", "nir"))


def test_too_many_bands_are_never_guessed(scene_of: SceneOf) -> None:
    with pytest.raises(
        SceneError, match=r"has 13: 1 gray, 2 undefined, .*Name the 3 to use, such as --set scene\.bands=1,2,3\."
    ):
        select_bands(scene_of(13), 3)
    named = replace(scene_of(4), descriptions=("Red", "Green", "NIR", "Blue"))
    with pytest.raises(SceneError, match=r"such as --set scene\.bands=3,1\."):
        select_bands(named, 2, names=("nir", "red"))
    with pytest.raises(SceneError, match=r"if band 4 is a mask, name it in scene.mask_band"):
        select_bands(scene_of(4), 3)
    with pytest.raises(SceneError, match=r"Name the 3 to use"):
        select_bands(scene_of(4, alpha=1), 3)


@pytest.mark.parametrize("band", [0, 4, -1])
def test_band_out_of_range(scene_of: SceneOf, band: int) -> None:
    with pytest.raises(SceneError, match=rf"Band {band} does not exist: .*has 3, counted from 1"):
        select_bands(scene_of(3), 2, [1, band])
    with pytest.raises(SceneError, match=rf"Band {band} does not exist"):
        select_bands(scene_of(3), 3, mask_band=band)


def test_wrong_number_of_explicit_bands(scene_of: SceneOf) -> None:
    with pytest.raises(SceneError, match=r"wants 3 bands, scene.bands names 2: \[1, 2\]"):
        select_bands(scene_of(3), 3, [1, 2])


def test_a_band_is_input_or_mask(scene_of: SceneOf) -> None:
    with pytest.raises(SceneError, match=r"Band 3 of .* cannot be both input and mask"):
        select_bands(scene_of(3), 3, mask_band=3)


def test_nothing_to_warn_of(scene_of: SceneOf) -> None:
    scene = scene_of(3)
    assert describe_warnings(scene, select_bands(scene, 3)) == []
