"""``value_scaling`` means what the README of the STAC MLM extension says."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from geoseg.errors import SettingsError
from geoseg.model.bundle.bundle import read_bundle
from geoseg.model.scale import scale_pixels
from tests.support.bundles import describe_model

PIXELS = np.random.default_rng(0).uniform(-50, 4000, (4, 20, 30)).astype(np.float32)


def reference(band: np.ndarray, one: dict[str, Any] | None) -> np.ndarray:
    """The formulas of the README."""
    match one:
        case {"type": "min-max", "minimum": low, "maximum": high}:
            return (band - low) / (high - low)
        case {"type": "z-score", "mean": mean, "stddev": stddev}:
            return (band - mean) / stddev
        case {"type": "clip" | "clip-min" | "clip-max"}:
            return np.minimum(np.maximum(band, one.get("minimum", -np.inf)), one.get("maximum", np.inf))
        case {"type": "offset", "value": value}:
            return band - value
        case {"type": "scale", "value": value}:
            return band / value
        case _:
            return band


def bundle(folder: Path, value_scaling: Any, **properties: Any) -> Path:
    model = {**describe_model(4, 3), **properties}
    model["mlm:input"][0]["value_scaling"] = value_scaling
    if "geoseg:scaling" not in properties:
        model.pop("geoseg:scaling", None)
    (folder / "model.json").write_text(json.dumps(model))
    (folder / "weights.safetensors").touch()
    return folder


MIN_MAX = {"type": "min-max", "minimum": 5, "maximum": 3000}
Z_SCORE = {"type": "z-score", "mean": 1200.5, "stddev": 700}
CLIP = {"type": "clip", "minimum": 10, "maximum": 2500}
CLIP_MIN, CLIP_MAX = {"type": "clip-min", "minimum": 0}, {"type": "clip-max", "maximum": 900}
OFFSET, SCALE = {"type": "offset", "value": 1000}, {"type": "scale", "value": 10000}


@pytest.mark.parametrize(
    "value_scaling",
    [
        *([one] for one in (MIN_MAX, Z_SCORE, CLIP, CLIP_MIN, CLIP_MAX, OFFSET, SCALE)),
        [{"type": "z-score", "mean": mean, "stddev": 50} for mean in (100, 110, 120, 130)],
        [{"type": "scale", "value": value} for value in (-2, 3, 4, 5)],
        [CLIP_MIN, CLIP_MAX, CLIP, CLIP_MIN],
        [MIN_MAX, Z_SCORE, OFFSET, SCALE],
        [None, CLIP_MAX, SCALE, CLIP],
        [None, OFFSET, None, None],
        [{"type": None}, SCALE, CLIP_MIN, {"type": None}],
        [{"type": "scale", "value": -2}, OFFSET, None, {"type": "min-max", "minimum": 9, "maximum": 3}],
        [{"type": "scale", "value": 1}],
        [{"type": None}],
        Z_SCORE,
        [None],
    ],
)
def test_pixels_are_those_of_the_formulas(tmp_path: Path, value_scaling: Any) -> None:
    steps = read_bundle(bundle(tmp_path, value_scaling)).file.scaling
    objects = value_scaling if isinstance(value_scaling, list) else [value_scaling]
    objects = objects * 4 if len(objects) == 1 else objects
    expected = np.stack([reference(band.astype(np.float64), one) for band, one in zip(PIXELS, objects, strict=True)])
    found = scale_pixels(torch.from_numpy(PIXELS), list(steps)).numpy()
    np.testing.assert_allclose(found, expected, rtol=3e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("value_scaling", "message"),
    [
        (
            [Z_SCORE, Z_SCORE, Z_SCORE],
            "value_scaling has 3 objects for 4 bands. Give one for all bands or one for each",
        ),
        (
            [{"type": "processing", "format": "python", "expression": "x"}],
            "value_scaling.0 is an expression.*geoseg:scaling",
        ),
        ([{"type": "l2"}], "value_scaling.0 has the type 'l2'; the types are min-max, z-score"),
        (["log"], "value_scaling.0 has the type 'str'"),
        (
            [{"type": "z-score", "mean": 1}],
            "value_scaling.0 of the type z-score has {'mean': 1}; it has the numbers mean, std",
        ),
        ([{"type": "scale", "value": "10"}], "value_scaling.0 of the type scale has {'value': '10'}"),
        ([{"type": "scale", "value": 2, "unit": "m"}], "value_scaling.0 of the type scale has"),
        ([{"type": "scale", "value": 0}], "value_scaling.0 of the type scale divides by zero"),
        ([{"type": "z-score", "mean": 0, "stddev": 0}], "value_scaling.0 of the type z-score divides by zero"),
        (
            [CLIP, CLIP, {"type": "min-max", "minimum": 3, "maximum": 3}, CLIP],
            "value_scaling.2 .*divides by zero",
        ),
        ([{"type": "scale", "value": 1e300}], "value_scaling.0 of the type scale has a number beyond 1e\\+12"),
        ([{"type": "min-max", "minimum": 0.5, "maximum": 10**400}, OFFSET, SCALE, None], "a number beyond 1e\\+12"),
    ],
)
def test_what_has_no_meaning_is_refused(tmp_path: Path, value_scaling: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        read_bundle(bundle(tmp_path, value_scaling))
    assert str(tmp_path / "model.json") in str(caught.value)


def test_both_scalings_must_agree(tmp_path: Path) -> None:
    own = [{"type": "divide", "value": [10000] * 4}]
    assert read_bundle(bundle(tmp_path, [SCALE], **{"geoseg:scaling": own})).file.scaling
    own[0]["value"] = 255
    with pytest.raises(
        SettingsError, match=r"value_scaling means .*10000.*, and geoseg:scaling says .*255.*Remove one"
    ):
        read_bundle(bundle(tmp_path, [SCALE], **{"geoseg:scaling": own}))


def test_a_statement_that_nothing_is_scaled_is_not_a_missing_scaling(tmp_path: Path) -> None:
    assert read_bundle(bundle(tmp_path, [{"type": "scale", "value": 1}])).file.scaling
    assert not read_bundle(bundle(tmp_path, [None])).file.scaling
