"""Row 32 of the odd inputs: values of another unit than the model's are told."""

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from geoseg.model.plausible import judge_values, scale_values
from geoseg.model.scaling import Step, scale_pixels

BANDS = ["red", "nir"]
REFLECTANCE = {"type": "z-score", "mean": [1200.0, 2500.0], "stddev": [600.0, 900.0]}
UNIT = {"type": "min-max", "minimum": 0.0, "maximum": [1.0, 1.2]}


def steps(*given: dict[str, object]) -> list[Step]:
    return TypeAdapter(list[Step]).validate_python(given)


def scene(factor: float) -> np.ndarray:
    """Surface reflectance of two bands, 0..1, times a factor."""
    rng = np.random.default_rng(0)
    return factor * np.stack([rng.gamma(4, 0.03, 5000), rng.gamma(6, 0.04, 5000)])


@pytest.mark.parametrize(
    ("factor", "scaling", "words"),
    [
        (10_000, [REFLECTANCE], None),
        (1, [REFLECTANCE], "hardly differ"),
        (10_000_000, [REFLECTANCE], "far from what the model was trained on"),
        (1, [UNIT], None),
        (10_000, [UNIT], "far from"),
        (255, [UNIT], "far from"),
        (1e-4, [UNIT], "hardly differ"),
        (10_000, [{"type": "scale", "value": 1e-4}, UNIT], None),
        (1, [{"type": "scale", "value": 1e-4}, UNIT], "hardly differ"),
        (10_000, [{"type": "clip", "minimum": 0, "maximum": 1}, UNIT], "hardly differ"),
        (10_000, [UNIT, {"type": "sigmoid"}], "far from"),
        (10_000, [{"type": "scale", "value": 1e-4}], None),
        (10_000, [], None),
    ],
)
def test_row32_another_unit_is_told(factor: float, scaling: list[dict[str, object]], words: str | None) -> None:
    told = judge_values(scene(factor), BANDS, steps(*scaling))
    assert len(told) == (2 if words else 0)
    for band, text in zip(BANDS, told, strict=False):
        assert words in text
        assert f"values of band {band} " in text
        assert "another unit" in text


def test_row32_one_band_alone_is_named() -> None:
    values = scene(10_000)
    values[1] /= 10_000
    (text,) = judge_values(values, BANDS, steps(REFLECTANCE))
    assert "band nir (mostly 0" in text


def test_nothing_to_look_at_is_nothing_to_tell() -> None:
    assert judge_values(np.empty((2, 0)), BANDS, steps(REFLECTANCE)) == []
    assert judge_values(np.full((2, 9), -5.0), BANDS, steps({"type": "log1p"}, REFLECTANCE)) == []


def test_it_scales_like_the_model() -> None:
    chain = steps(
        {"type": "clip", "minimum": -3, "maximum": [900, 800]},
        {"type": "offset", "value": 5},
        {"type": "scale", "value": [2, 0.5]},
        {"type": "log1p"},
        {"type": "affine", "scale": 3, "offset": [-1, 1]},
        {"type": "z-score", "mean": 2, "stddev": [3, 4]},
        {"type": "min-max", "minimum": [0, -1], "maximum": 7},
        {"type": "sigmoid"},
    )
    values = np.random.default_rng(1).uniform(-10, 1000, (2, 200))
    expected = scale_pixels(torch.from_numpy(values)[:, None], chain)[:, 0].numpy()
    np.testing.assert_allclose(scale_values(values, chain), expected, rtol=1e-12)
