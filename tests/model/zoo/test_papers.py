"""The networks of the papers at their full size, on the device ``meta``: shapes and numbers of weights as published."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from geoseg.model.zoo.architectures import build
from geoseg.model.zoo.segnet import put_back


def full_size(name: str, bands: int, classes: int, **arguments: Any) -> nn.Module:
    with torch.device("meta"):
        return build(name, {"in_channels": bands, "classes": classes, **arguments}).eval()


def millions(module: nn.Module) -> float:
    return sum(tensor.numel() for tensor in module.parameters()) / 1e6


def shapes(module: nn.Module, layers: Sequence[nn.Module], side: int, bands: int = 3) -> list[tuple[int, ...]]:
    """Channels, height and width of the output of each layer, then of the network."""
    found: list[tuple[int, ...]] = []

    def record(_: nn.Module, __: Any, output: Tensor) -> None:
        found.append(tuple(output.shape[1:]))

    for layer in layers:
        layer.register_forward_hook(record)
    output = module(torch.empty(1, bands, side, side, device="meta"))
    return [*found, tuple(output.shape[1:])]


VGG_STAGES = [(64, 224, 224), (128, 112, 112), (256, 56, 56), (512, 28, 28), (512, 14, 14)]
"""Simonyan and Zisserman, table 1, configuration D, before each pooling of a 224 x 224 input."""


@pytest.mark.parametrize(("name", "strides"), [("fcn32s", [32]), ("fcn16s", [32, 16]), ("fcn8s", [32, 16, 8])])
def test_fcn(name: str, strides: list[int]) -> None:
    """Table 1 of Long et al.: FCN-VGG16 has 134 M parameters and a stride of 32; section 4.2: pool4 and pool3."""
    module: Any = full_size(name, 3, 21)
    assert millions(module) == pytest.approx(134, abs=0.5)
    scores = [(21, 224 // stride, 224 // stride) for stride in strides[1:]]
    found = shapes(module, [*module.stages, module.classifier, *module.scores, *module.doubling], 224)
    assert found[:5] == VGG_STAGES
    assert found[5] == (21, 7, 7)
    assert sorted(found[6:-1]) == sorted(scores * 2)
    assert found[-1] == (21, 224, 224)
    assert module.stride == strides[-1]


def test_the_doubling_of_fcn_begins_as_bilinear_interpolation() -> None:
    """Section 4.3: the filters are initialised to bilinear upsampling."""
    module: Any = build("fcn8s", {"in_channels": 3, "classes": 2, "width": 1})
    maps = torch.randn(1, 2, 8, 8)
    expected = nn.functional.interpolate(maps, scale_factor=2.0, mode="bilinear")
    with torch.no_grad():
        found = module.doubling[0](maps)
    torch.testing.assert_close(found[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1])


def test_segnet() -> None:
    """Figure 2 and table 6 of Badrinarayanan et al.: a mirrored VGG-16 without its fully connected layers, 117 MB."""
    module: Any = full_size("segnet", 3, 11)
    assert millions(module) * 4 == pytest.approx(117, abs=1)
    assert sum(isinstance(layer, nn.Conv2d) for layer in module.down.modules()) == 13
    assert sum(isinstance(layer, nn.Conv2d) for layer in module.up.modules()) == 13
    found = shapes(module, [*module.down, *module.up], 224)
    assert found[:5] == VGG_STAGES
    assert found[5:9] == [(512, 14, 14), (256, 28, 28), (128, 56, 56), (64, 112, 112)]
    assert found[9:] == [(11, 224, 224)] * 2


def test_segnet_puts_maxima_back_to_their_places() -> None:
    """Section 3.1, figure 3; torch's own unpooling is the oracle."""
    pooled, places = nn.functional.max_pool2d(torch.randn(2, 3, 8, 12), 2, return_indices=True)
    assert torch.equal(put_back(pooled, places), nn.functional.max_unpool2d(pooled, places, 2))


def test_deeplab_v1() -> None:
    """Table 2 of Chen et al.: DeepLab-CRF-LargeFOV has a 3 x 3 kernel, an input stride of 12 and 20.5 M parameters."""
    module: Any = full_size("deeplab-v1", 3, 21)
    assert millions(module) == pytest.approx(20.5, abs=0.05)
    first = module.classifier[0]
    assert (first.kernel_size, first.dilation, first.out_channels) == ((3, 3), (12, 12), 1024)
    found = shapes(module, [*module.stages, module.classifier], 224)
    assert found[:4] == VGG_STAGES[:4]
    assert found[4:] == [(512, 28, 28), (21, 28, 28), (21, 224, 224)]


def test_fastfcn() -> None:
    """Figure 4 of Wu et al.: conv3 to conv5 of ResNet-50 become one map of stride 8; dilations 1, 2, 4 and 8."""
    module: Any = full_size("fastfcn", 3, 59)
    assert [layer[0].dilation[0] for layer in module.jpu.branches] == [1, 2, 4, 8]
    found = shapes(module, [*module.stages, module.jpu, module.head], 480)
    assert found[:4] == [(256, 120, 120), (512, 60, 60), (1024, 30, 30), (2048, 15, 15)]  # He et al., table 1
    assert found[4:] == [(2048, 60, 60), (59, 60, 60), (59, 480, 480)]
    backbone = nn.ModuleList([module.stem, *module.stages])
    assert millions(backbone) == pytest.approx(25.557 - 2.049, abs=0.001)  # ResNet-50 without its classifier


@pytest.mark.skipif(find_spec("timm") is None, reason="needs geoseg[zoo]")
@pytest.mark.parametrize(("encoder", "published"), [("tiny", 7), ("small", 27), ("base", 106)])
def test_segmenter(encoder: str, published: float) -> None:
    """Table 2 and 3 of Strudel et al.: parameters of Seg-T-Mask/16, Seg-S-Mask/16 and Seg-B-Mask/16."""
    module: Any = full_size("segmenter", 3, 150, encoder_name=f"vit_{encoder}_patch16_224")
    assert millions(module) == pytest.approx(published, rel=0.08)
    assert len(module.blocks) == 2
    assert module.size_multiple == 16


def test_lenet() -> None:
    """Section II.B of LeCun et al.: 60,000 weights; C1 6 at 28 x 28, S2 14 x 14, C3 16 at 10 x 10, S4 5 x 5, C5 120."""
    module: Any = full_size("lenet", 1, 10)
    assert millions(module) == pytest.approx(0.060, rel=0.04)
    layers = [layer for layer in module.window if not isinstance(layer, nn.Tanh)]
    window = shapes(module.window, layers, 32, bands=1)
    assert window[:-1] == [(6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5), (120, 1, 1), (84, 1, 1), (10, 1, 1)]
