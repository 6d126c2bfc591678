"""Row 32 of the odd inputs: values in another unit than the model's are a warning."""

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from geoseg.model.bundle.scaling import Step
from geoseg.model.bundle.value_checks import check_values, scale_values, warn_unscaled
from geoseg.model.scale import scale_pixels

BANDS = ["red", "nir"]
REFLECTANCE = {"type": "z-score", "mean": [1200.0, 2500.0], "stddev": [600.0, 900.0]}
TEN_THOUSANDTH = {"type": "affine", "scale": 1e-4}
# Ends as Dynamic World's does: a logarithm hides the unit, and a sigmoid bounds what is left of it.
LOGARITHM = [
    {"type": "affine", "scale": 0.005},
    {"type": "log1p"},
    {"type": "z-score", "mean": 2.0, "stddev": 2.2},
    {"type": "affine", "scale": 5, "offset": -1},
    {"type": "sigmoid"},
]
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
        (10_000, [{"type": "affine", "scale": 1e-4}, UNIT], None),
        (1, [{"type": "affine", "scale": 1e-4}, UNIT], "hardly differ"),
        (10_000, [{"type": "clip", "minimum": 0, "maximum": 1}, UNIT], "saturated by the clip"),
        (10_000, [UNIT, {"type": "sigmoid"}], "far from"),
        (10_000, [{"type": "affine", "scale": 1e-4}], None),
        (10_000, [], None),
        (1, [TEN_THOUSANDTH], "hardly differ"),
        (255, [TEN_THOUSANDTH, {"type": "clip", "minimum": 0, "maximum": 1}], "hardly differ"),
        (1_000_000, [TEN_THOUSANDTH], "far from"),
        (10_000, [{"type": "affine", "scale": 1 / 255, "offset": 0}], "far from"),
        (255, [{"type": "affine", "scale": 1 / 255}], None),
        (10_000, [{"type": "min-max", "minimum": 0, "maximum": 255}], "far from"),
        (10_000, [{"type": "affine", "offset": -1000}], None),
        (10_000, [TEN_THOUSANDTH, {"type": "clip", "minimum": 0, "maximum": 1}], None),
        (10_000_000, [TEN_THOUSANDTH, {"type": "clip", "minimum": 0, "maximum": 1}], "saturated by the clip of the"),
        (10_000, LOGARITHM, None),
        (1_000_000, LOGARITHM, "saturated by the sigmoid of the"),
    ],
)
def test_row32_another_unit_is_a_warning(factor: float, scaling: list[dict[str, object]], words: str | None) -> None:
    warnings = check_values(scene(factor), BANDS, steps(*scaling))
    assert len(warnings) == (2 if words else 0)
    for band, text in zip(BANDS, warnings, strict=False):
        assert words in text
        assert f"values of band {band} " in text
        assert "another unit" in text


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [
        ([TEN_THOUSANDTH], 2),
        ([REFLECTANCE], 2),
        ([{"type": "min-max", "minimum": 0, "maximum": [10_000, 255]}], 1),
        (LOGARITHM, 2),
        ([{"type": "affine", "scale": 1 / 255}], 0),
        ([{"type": "z-score", "mean": 120, "stddev": 60}], 0),
    ],
)
def test_bytes_with_the_scaling_of_reflectance_are_a_warning(scaling: list[dict[str, object]], expected: int) -> None:
    values = np.random.default_rng(0).integers(0, 256, (2, 5000)).astype(np.uint8)
    warnings = check_values(values, BANDS, steps(*scaling))
    assert len(warnings) == expected
    assert all("are uint8, of which all from 0 to 255 become" in text and "hardly differ" in text for text in warnings)
    assert [text for text in warnings if "correct geoseg:scaling" not in text] == []


@pytest.mark.parametrize(("share", "words"), [(0.45, None), (0.6, "in 60% of a sample")])
def test_most_of_a_band_must_be_saturated(share: float, words: str | None) -> None:
    values = np.tile(np.linspace(0, 9000, 1000), (2, 1))
    values[0, : int(share * 1000)] = 11_000
    warnings = check_values(values, BANDS, steps(TEN_THOUSANDTH, {"type": "clip", "minimum": 0, "maximum": 1}))
    assert len(warnings) == bool(words)
    assert all(text.startswith("values of band red (mostly") for text in warnings)
    assert all(f"to 11000) are saturated by the clip of the scaling {words}" in text for text in warnings)


def test_dark_water_in_the_infrared_is_no_warning() -> None:
    water = np.random.default_rng(0).gamma(8, 6, (2, 5000))
    assert check_values(water, BANDS, steps(*LOGARITHM)) == []


def test_a_bundle_without_scaling_is_a_warning() -> None:
    (text,) = warn_unscaled("landuse", [])
    assert "landuse states no scaling" in text
    assert warn_unscaled("landuse", steps({"type": "affine", "scale": 1})) == []


def test_row32_one_band_alone_is_named() -> None:
    values = scene(10_000)
    values[1] /= 10_000
    (text,) = check_values(values, BANDS, steps(REFLECTANCE))
    assert "band nir (mostly 0" in text


def test_steps_that_give_no_finite_value_are_no_error() -> None:
    values = np.random.default_rng(0).integers(0, 256, (2, 50)).astype(np.uint8)
    check_values(values, BANDS, steps(*[{"type": "affine", "scale": 1e12}] * 27))
    check_values(values, BANDS, steps({"type": "affine", "offset": -3000}, {"type": "log1p"}, {"type": "sigmoid"}))


def test_no_finite_values_give_no_warning() -> None:
    assert check_values(np.empty((2, 0)), BANDS, steps(REFLECTANCE)) == []
    assert check_values(np.full((2, 9), -5.0), BANDS, steps({"type": "log1p"}, REFLECTANCE)) == []


def test_numpy_scales_like_torch() -> None:
    chain = steps(
        {"type": "clip", "minimum": -3, "maximum": [900, 800]},
        {"type": "affine", "offset": 5},
        {"type": "affine", "scale": [2, 0.5]},
        {"type": "log1p"},
        {"type": "affine", "scale": 3, "offset": [-1, 1]},
        {"type": "z-score", "mean": 2, "stddev": [3, 4]},
        {"type": "min-max", "minimum": [0, -1], "maximum": 7},
        {"type": "sigmoid"},
    )
    values = np.random.default_rng(1).uniform(-10, 1000, (2, 200))
    expected = scale_pixels(torch.from_numpy(values)[:, None], chain)[:, 0].numpy()
    np.testing.assert_allclose(scale_values(values, chain), expected, rtol=1e-12)
