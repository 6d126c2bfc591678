"""The scaling of exported metadata, read as MLM defines it, is the bundle's."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from geoseg.exporter.affine import as_affine
from geoseg.exporter.mlm_metadata import mlm_metadata
from geoseg.model.bundle.bundle import read_bundle
from geoseg.model.bundle.scaling import Step
from geoseg.model.bundle.value_checks import scale_values
from geoseg.model.bundle.value_scaling import translate
from tests.support.bundles import unet_bundle

PIXELS = np.random.default_rng(0).uniform(0, 3000, (4, 100))
CHAINS: dict[str, list[dict[str, Any]]] = {
    "z-score": [{"type": "z-score", "mean": [1, 2, 3, 4], "stddev": 7}],
    "min-max": [{"type": "min-max", "minimum": 100, "maximum": [2000, 3000, 2000, 3000]}],
    "clip": [{"type": "clip", "minimum": 100, "maximum": [200, 300, 200, 300]}],
    "divide": [{"type": "divide", "value": 255}],
    "subtract": [{"type": "subtract", "value": [1, 2, 3, 4]}],
    "mirrored": [{"type": "affine", "scale": -0.5, "offset": 3}, {"type": "divide", "value": 10}],
    "two steps": [{"type": "divide", "value": 10000}, {"type": "z-score", "mean": 0.2, "stddev": [0.1, 0.2, 0.3, 0.4]}],
}


def parse(steps: list[dict[str, Any]]) -> list[Step]:
    return TypeAdapter(list[Step]).validate_python(steps)


@pytest.mark.parametrize("name", CHAINS)
def test_value_scaling(name: str, tmp_path: Path) -> None:
    steps = parse(CHAINS[name])
    bundle = read_bundle(unet_bundle(tmp_path / "bundle", scaling=CHAINS[name]))
    (taken,) = mlm_metadata(bundle, steps, "softmax", None, framework="pytorch")["properties"]["input"]
    read = parse(translate(taken["value_scaling"], 4))
    assert np.allclose(scale_values(PIXELS, read), scale_values(PIXELS, steps), rtol=1e-9, atol=1e-9)


def test_nothing_is_nothing(tmp_path: Path) -> None:
    bundle = read_bundle(unet_bundle(tmp_path / "bundle", scaling=[]))
    properties = mlm_metadata(bundle, [], "softmax", None, framework="pytorch")["properties"]
    assert "value_scaling" not in properties["input"][0]
    assert properties["geoseg:scaling"] == [{"type": "affine"}]


@pytest.mark.parametrize("name", [name for name in CHAINS if name != "clip"])
def test_affine(name: str) -> None:
    steps = parse(CHAINS[name])
    affine = as_affine(steps, 4)
    assert affine is not None
    expected = scale_values(PIXELS, steps)
    assert np.allclose(PIXELS * affine.scale[:, None] + affine.offset[:, None], expected, rtol=1e-9, atol=1e-9)
    assert np.allclose(scale_values(affine.zero[:, None], steps), 0, atol=1e-9)


@pytest.mark.parametrize(
    "step", [CHAINS["clip"][0], {"type": "log1p"}, {"type": "sigmoid"}, {"type": "affine", "scale": 0}]
)
def test_what_is_not_affine(step: dict[str, Any]) -> None:
    assert as_affine(parse([step]), 4) is None
