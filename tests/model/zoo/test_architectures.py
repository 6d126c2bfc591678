"""All architectures: output shape, size multiple, and the same function through the speed path."""

from importlib.util import find_spec
from typing import Any

import pytest
import torch
from torch import nn

from geoseg.model.fusion.fast import make_fast
from geoseg.model.zoo.architectures import ARCHITECTURES, build

SMALL: dict[str, dict[str, Any]] = {
    **{key: {"width": 4} for key in ("unet", "fcn32s", "fcn16s", "fcn8s", "segnet", "deeplab-v1", "fastfcn")},
    **{name: {"encoder_name": "resnet18"} for name in ARCHITECTURES if name.startswith("smp-")},
    "smp-segformer": {"encoder_name": "mit_b0"},
    "smp-dpt": {"encoder_name": "tu-vit_tiny_patch16_224"},
}


def network(name: str, bands: int) -> nn.Module:
    """A network in evaluation mode; its normalisations have statistics as after training."""
    torch.manual_seed(0)
    module = build(name, {"in_channels": bands, "classes": 5, **SMALL.get(name, {})}).eval()
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.3)
            layer.running_var.uniform_(0.5, 1.5)
    return module


@pytest.mark.parametrize(("bands", "name"), list(zip([3, 4, 13] * 7, ARCHITECTURES, strict=True)))
def test_the_speed_path_is_the_same_function(name: str, bands: int) -> None:
    if ARCHITECTURES[name].needs_extra and find_spec("segmentation_models_pytorch") is None:
        pytest.skip("needs geoseg[zoo]")
    module = network(name, bands)
    assert module.size_multiple == ARCHITECTURES[name].size_multiple
    side = 9 * 16 if name == "smp-pan" else 3 * 32  # an odd multiple of every size multiple
    pixels = torch.randn(1, bands, side, side)
    with torch.no_grad():
        expected = module(pixels)
        fast = make_fast(module, ARCHITECTURES[name], pixels, torch.float32, torch.device("cpu"))
        found = fast(pixels.contiguous(memory_format=torch.channels_last))
    assert expected.shape == (1, 5, side, side)
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()
