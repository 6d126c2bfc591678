"""Selection of the bands for the model, without guessing."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

from geoseg.config import SceneSettings
from geoseg.errors import SceneError
from geoseg.raster.band_names import check_band_names
from geoseg.raster.bands import BandSelection, describe_warnings, merge_alpha_warnings, select_bands
from geoseg.raster.source.scene import Scene, describe

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


def test_alpha_that_is_an_input_is_not_the_mask(scene_of: SceneOf) -> None:
    scene = scene_of(4, alpha=4)
    assert select_bands(scene, 4) == BandSelection((1, 2, 3, 4), None)
    assert select_bands(scene, 3, SceneSettings(bands=[4, 1, 2])) == BandSelection((4, 1, 2), None)


def test_explicit_bands_keep_order_and_may_repeat(scene_of: SceneOf) -> None:
    assert select_bands(scene_of(13), 3, SceneSettings(bands=[8, 3, 8])).bands == (8, 3, 8)


def test_mask_band_replaces_alpha(scene_of: SceneOf) -> None:
    assert select_bands(scene_of(5, alpha=4), 3, SceneSettings(mask_band=5)) == BandSelection((1, 2, 3), 5)


def test_too_few_bands(scene_of: SceneOf) -> None:
    wanted = (
        r"model wants 4 bands \(red, green, blue, nir\), .*scene.tif has 3\. Add what is missing .*or use a model for 3"
    )
    with pytest.raises(SceneError, match=wanted):
        select_bands(scene_of(3), 4, names=("red", "green", "blue", "nir"))


def test_too_many_bands_are_never_guessed(scene_of: SceneOf) -> None:
    with pytest.raises(
        SceneError, match=r"has 13: 1 gray, 2 undefined, .*Name the 3 to use in .* such as --set scene\.bands=1,2,3\."
    ):
        select_bands(scene_of(13), 3)
    named = replace(scene_of(4), descriptions=("Red", "Green", "NIR", "Blue"))
    with pytest.raises(SceneError, match=r"By their names: --set scene\.bands=3,1\."):
        select_bands(named, 2, names=("nir", "red"))
    with pytest.raises(SceneError, match=r"if band 4 is a mask, name it in scene.mask_band"):
        select_bands(scene_of(4), 3)
    with pytest.raises(SceneError, match=r"Name the 3 to use"):
        select_bands(scene_of(4, alpha=1), 3)


@pytest.mark.parametrize("band", [0, 4, -1])
def test_band_out_of_range(scene_of: SceneOf, band: int) -> None:
    with pytest.raises(SceneError, match=rf"Band {band} does not exist: .*has 3, counted from 1"):
        select_bands(scene_of(3), 2, SceneSettings().model_copy(update={"bands": (1, band)}))
    with pytest.raises(SceneError, match=rf"Band {band} does not exist"):
        select_bands(scene_of(3), 3, SceneSettings().model_copy(update={"mask_band": band}))


def test_wrong_number_of_explicit_bands(scene_of: SceneOf) -> None:
    with pytest.raises(SceneError, match=r"wants 3 bands, scene.bands names 2: \[1, 2\]"):
        select_bands(scene_of(3), 3, SceneSettings(bands=[1, 2]))


def test_a_band_is_input_or_mask(scene_of: SceneOf) -> None:
    with pytest.raises(SceneError, match=r"Band 3 of .* cannot be both input and mask"):
        select_bands(scene_of(3), 3, SceneSettings(mask_band=3))


def test_nothing_to_warn_of(scene_of: SceneOf) -> None:
    scene = scene_of(3)
    assert describe_warnings(scene, select_bands(scene, 3)) == []


SENTINEL2 = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12"]


@pytest.mark.parametrize(
    ("called", "wanted", "expected"),
    [
        (SENTINEL2, "B2 B3 B4 B5 B6 B7 B8 B11 B12", "2,3,4,5,6,7,8,12,13"),
        (SENTINEL2, "blue green red nir", "2,3,4,8"),
        (SENTINEL2, "Red NIR_08 swir16", "4,9,12"),
        (["Blue", "green", "RED", "NIR", "SWIR1"], "B04 b3 B02", "3,2,1"),
        (["B8", "near infrared", "red"], "B8 red", "1,3"),
        (["pan", "red", "VV"], "vv pan", "3,1"),
    ],
)
def test_bands_are_suggested_by_their_names(scene_of: SceneOf, called: list[str], wanted: str, expected: str) -> None:
    names = wanted.split()
    scene = replace(scene_of(len(called)), descriptions=tuple(called))
    with pytest.raises(SceneError, match=rf"By their names: --set scene\.bands={expected}\.$"):
        select_bands(scene, len(names), names=names)
    bands = [int(number) for number in expected.split(",")]
    assert check_band_names(scene, bands, names, "model", strict=True) == [], "the advice is right"


def test_no_suggestion_contradicts_the_names(scene_of: SceneOf) -> None:
    scene = replace(scene_of(4), descriptions=("B1", "B2", "B3", "B4"))
    with pytest.raises(
        SceneError, match=r"None is named nir or swir1\. Name the 3 to use in scene\.bands, in the"
    ) as warnings:
        select_bands(scene, 3, names=("red", "nir", "swir1"))
    assert "--set" not in str(warnings.value)
    twice = replace(scene_of(4), descriptions=("red", "red", "green", "blue"))
    with pytest.raises(SceneError, match="None is named red"):
        select_bands(twice, 3, names=("red", "green", "blue"))


def test_missing_bands_are_named(scene_of: SceneOf) -> None:
    scene = replace(scene_of(3), roles=("red", "green", "blue"))
    with pytest.raises(SceneError, match=r"has 3: none is named nir\. Add what is missing to the file"):
        select_bands(scene, 4, names=("red", "green", "blue", "nir"))


def judged(scene: Scene, names: str, *, strict: bool = False, bands: tuple[int, ...] = (1, 2, 3)) -> list[str]:
    return check_band_names(scene, bands, names.split(), "landuse", strict=strict)


def test_colours_in_another_order_are_a_warning_or_refused(scene_of: SceneOf) -> None:
    scene = replace(scene_of(4), roles=("red", "green", "blue", "alpha"))
    (text,) = judged(scene, "blue green red")
    assert "band 1 is red (colour interpretation), not blue; band 3 is blue (colour interpretation), not red" in text
    assert text.endswith("Set scene.bands=3,2,1 if the names are right.")
    with pytest.raises(SceneError, match=r"Set scene\.bands=3,2,1, or leave out scene\.strict_bands"):
        judged(scene, "blue green red", strict=True)
    for names in ("red green blue", "B04 B03 B02"):
        assert judged(scene, names, strict=True) == []
    assert judged(scene, "blue green red", bands=(3, 2, 1), strict=True) == []


def test_colours_of_a_false_colour_composite_are_not_names(scene_of: SceneOf) -> None:
    scene = replace(scene_of(4), roles=("red", "green", "blue", "undefined"))
    assert judged(scene, "nir red green") == [], "software tags three bands so, whatever they hold"
    with pytest.raises(SceneError, match="band 1 is red"):
        judged(scene, "nir red green", strict=True)
    with pytest.raises(SceneError, match=r"band 4 is unnamed, not nir\. Set scene\.bands to the model's order"):
        judged(scene, "red green blue nir", strict=True, bands=(1, 2, 3, 4))
    named = replace(scene, descriptions=("nir", "red", "green", None))
    assert judged(named, "nir red green", strict=True) == [], "a description goes before a colour"


def test_warnings_of_an_alpha_input_are_merged() -> None:
    alpha = ": band 4 is tagged alpha but feeds the model, so it is not used as a mask."
    warnings = [
        f"a: 1.tif{alpha}",
        "a: 1.tif: other",
        f"b.tif{alpha}",
        f"c.tif{alpha}",
        f"d.tif{alpha.replace('4', '1')}",
    ]
    assert merge_alpha_warnings(warnings) == [
        "a: 1.tif: other",
        f"a: 1.tif and 2 more scenes{alpha}",
        f"d.tif{alpha.replace('4', '1')}",
    ]
    assert merge_alpha_warnings(["b.tif: other"]) == ["b.tif: other"]
