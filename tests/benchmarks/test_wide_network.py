"""The wide network of a benchmark gives the results of the demo's network, since its polygons are measured too."""

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from geoseg.demo.command import BUNDLE
from geoseg.model.zoo.architectures import build
from tests.benchmarks.wide_network import write_wide_bundle

RESNET18_UNET_GMAC = 5.50


def load(bundle: Path) -> nn.Module:
    network = build("unet", json.loads((bundle / "model.json").read_text())["geoseg:arguments"])
    network.load_state_dict(safetensors.torch.load_file(bundle / "weights.safetensors"))
    return network.eval()


@pytest.fixture
def wide(tmp_path: Path) -> nn.Module:
    return load(write_wide_bundle(tmp_path / "wide"))


def test_the_wide_network_gives_the_logits_of_the_small_one(wide: nn.Module) -> None:
    torch.manual_seed(1)
    pixels = torch.randn(1, 4, 256, 256)
    with torch.inference_mode():
        expected = load(BUNDLE)(pixels)
        assert expected.std() > 1
        torch.testing.assert_close(wide(pixels), expected, rtol=1e-3, atol=1e-3)


def test_the_wide_network_is_as_expensive_as_a_resnet18_unet(wide: nn.Module) -> None:
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        wide(torch.zeros(1, 4, 256, 256))
    gmac = counter.get_total_flops() / 2e9
    assert 0.95 * RESNET18_UNET_GMAC < gmac <= RESNET18_UNET_GMAC
