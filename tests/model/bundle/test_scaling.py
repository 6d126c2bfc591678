import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from geoseg.model.bundle.scaling import Step
from geoseg.model.scale import scale_pixels

PIXELS = np.array([[[0, 1, 250]], [[7, 40, 10000]]], np.float64)


def column(*numbers: float) -> np.ndarray:
    return np.array(numbers, np.float64)[:, None, None]


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ({"type": "divide", "value": [2, 3]}, PIXELS / column(2, 3)),
        ({"type": "subtract", "value": 7}, PIXELS - 7),
        ({"type": "affine", "scale": 0.5}, PIXELS * 0.5),
        ({"type": "affine"}, PIXELS),
        ({"type": "affine", "scale": [2, 3]}, PIXELS * column(2, 3)),
        ({"type": "affine", "offset": [1, -1]}, PIXELS + column(1, -1)),
        ({"type": "clip", "minimum": 1, "maximum": [100, 300]}, np.clip(PIXELS, 1, column(100, 300))),
        ({"type": "min-max", "minimum": [0, 5], "maximum": 255}, (PIXELS - column(0, 5)) / (255 - column(0, 5))),
        ({"type": "z-score", "mean": [1, 2], "stddev": [3, 4]}, (PIXELS - column(1, 2)) / column(3, 4)),
        ({"type": "log1p"}, np.log1p(PIXELS)),
        ({"type": "affine", "scale": [2, 3], "offset": -1}, PIXELS * column(2, 3) - 1),
        ({"type": "sigmoid"}, 1 / (1 + np.exp(-PIXELS))),
    ],
)
def test_each_step_is_the_float64_formula(step: dict[str, object], expected: np.ndarray) -> None:
    parsed = TypeAdapter(Step).validate_python(step)
    found = scale_pixels(torch.from_numpy(PIXELS.astype(np.float32)), [parsed]).numpy()
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-7)


def test_torch_computes_each_step_by_the_plain_operators() -> None:
    """The bits of a logit depend on the order of the operations."""
    x = torch.from_numpy(np.random.default_rng(0).uniform(-2, 1e4, (2, 40, 50)).astype(np.float32))
    a, b = torch.tensor([3.7, 0.1])[:, None, None], torch.tensor(912.3)[None, None, None]
    numbers = {"a": [3.7, 0.1], "b": 912.3}
    cases = [
        ("divide", {"value": "a"}, x / a),
        ("subtract", {"value": "a"}, x - a),
        ("clip", {"minimum": "a", "maximum": "b"}, x.maximum(a).minimum(b)),
        ("min-max", {"minimum": "a", "maximum": "b"}, (x - a) / (b - a)),
        ("z-score", {"mean": "a", "stddev": "b"}, (x - a) / b),
        ("affine", {"scale": "a", "offset": "b"}, x * a + b),
        ("log1p", {}, x.log1p()),
        ("sigmoid", {}, x.sigmoid()),
    ]
    for name, keys, expected in cases:
        step = TypeAdapter(Step).validate_python({"type": name, **{key: numbers[n] for key, n in keys.items()}})
        torch.testing.assert_close(scale_pixels(x, [step]), expected, rtol=0, atol=0, equal_nan=True)


def test_steps_run_in_their_order() -> None:
    steps = TypeAdapter(list[Step]).validate_python([{"type": "affine", "offset": 1}, {"type": "affine", "scale": 10}])
    assert scale_pixels(torch.tensor([[[2.0]]]), steps).item() == 30


def test_the_chain_states_dynamic_worlds_normalisation() -> None:
    """``x = log(0.005 DN + 1); x = (x - a) / b; x = exp(5 x - 1); x = x / (x + 1)``, as its notebook publishes it."""
    a, b = [1.7417268, 1.7261205], [2.0232987, 2.0389052]
    chain: list[dict[str, object]] = [
        {"type": "affine", "scale": 0.005},
        {"type": "log1p"},
        {"type": "z-score", "mean": a, "stddev": b},
        {"type": "affine", "scale": 5, "offset": -1},
        {"type": "sigmoid"},
    ]
    expected = np.exp(5 * (np.log(0.005 * PIXELS + 1) - column(*a)) / column(*b) - 1)
    expected /= expected + 1
    found = scale_pixels(torch.from_numpy(PIXELS.astype(np.float32)), TypeAdapter(list[Step]).validate_python(chain))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"type": "z-score", "mean": 0, "stddev": 0}, "stddev > 0"),
        ({"type": "min-max", "minimum": 1, "maximum": 1}, "a minimum other than its maximum"),
        ({"type": "affine", "scale": 1, "extra": 2}, "extra"),
        ({"type": "gamma", "value": 1}, "gamma"),
        ({"type": "divide", "value": [1, 0]}, "divide needs a value other than 0"),
        ({"type": "affine", "scale": float("nan")}, "nan is not a finite number between -1e\\+12 and 1e\\+12"),
        ({"type": "affine", "offset": [0, float("inf")]}, "inf is not a finite number"),
        ({"type": "clip", "minimum": -1e300, "maximum": 1}, "-1e\\+300 is not a finite number"),
        ({"type": "z-score", "mean": 1e13, "stddev": 1}, "1e\\+13 is not a finite number"),
    ],
)
def test_a_step_without_meaning_is_refused(step: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(Step).validate_python(step)
