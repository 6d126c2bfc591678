"""The batch size, and the limits of networks that are built."""

import json
from pathlib import Path
from typing import Any

import pytest

from geoseg.errors import SettingsError
from geoseg.model.bundle.bundle import read_bundle
from geoseg.model.inference import Inference
from geoseg.model.load import BATCH_PIXELS, choose_batch, start_predictor
from tests.support.bundles import unet_bundle


@pytest.mark.parametrize(
    ("patch_px", "limit_bytes", "expected"),
    [
        (512, 1e12, 16),  # more would be of no use
        (256, 1e12, 64),
        (512, 5e9, 4),  # more do not fit
        (512, 1e6, 1),  # one is tried in any case, and fails by itself if it does not fit
        (3000, 1e12, 1),
    ],
)
def test_row66_the_batch_is_the_largest_useful_one_that_fits(patch_px: int, limit_bytes: float, expected: int) -> None:
    asked = []

    def measure(count: int) -> int:
        asked.append(count)
        return 10**9 * count

    assert choose_batch(patch_px, limit_bytes, measure) == expected
    assert all(count * patch_px**2 <= BATCH_PIXELS for count in asked), "nothing is tried that would not be used"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"mlm:architecture": "Unet resnet18"},
            r"model\.json: mlm:architecture 'Unet resnet18' is none of geoseg's own",
        ),
        ({"depth": 1000}, r"model\.json: geoseg:arguments depth=1000 is not a whole number from 1 to 8"),
        (
            {"depth": 8},
            r"weights\.safetensors cannot be loaded: its weights are not those of 'unet' with .* is absent, and",
        ),
        (
            {"width": 1024, "depth": 8},
            r"its weights are not those of 'unet'.*\[2048, 1024, 3, 3\] of floats is expected",
        ),
        ({"width": 10**9}, "width=1000000000 is not a whole number from 1 to 1024"),
        ({"width": -1}, "width=-1 is not a whole number"),
        ({"width": True}, "width=True is not a whole number"),
        ({"width": 8.5}, r"width=8\.5 is not a whole number"),
        ({"classes": [5]}, r"classes=\[5\] is not a whole number from 1 to 255"),
        ({"in_channels": 10**6}, "in_channels=1000000 is not a whole number from 1 to 8192"),
        ({"layers": 3}, r"geoseg:arguments .* do not fit mlm:architecture 'unet'.*'layers'"),
    ],
)
def test_an_oversized_network_is_not_built(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    model = json.loads((unet_bundle(tmp_path) / "model.json").read_text())
    for key, value in change.items():
        (model if key in model else model["geoseg:arguments"])[key] = value
    (tmp_path / "model.json").write_text(json.dumps(model))
    with pytest.raises(SettingsError, match=message):
        start_predictor(read_bundle(tmp_path), Inference("cpu", 32))
