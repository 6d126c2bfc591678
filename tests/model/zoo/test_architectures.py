"""Every architecture: sizes, bands, the speed path, training, export, and a bundle that segments a scene."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from geoseg.cli import app
from geoseg.importer.onnx_export import agrees, export_onnx
from geoseg.model.fusion.fast import make_fast
from geoseg.model.zoo.architectures import ARCHITECTURES, build
from tests.support.bundles import save_weights
from tests.support.scenes import read_band, run, write_scene

CLASSES = 5
SMALL: dict[str, dict[str, Any]] = {
    **{key: {"width": 4} for key in ("unet", "fcn32s", "fcn16s", "fcn8s", "segnet", "deeplab-v1", "fastfcn")},
    **{name: {"encoder_name": "resnet18"} for name in ARCHITECTURES if name.startswith("smp-")},
    "smp-segformer": {"encoder_name": "mit_b0"},
    "smp-dpt": {"encoder_name": "tu-vit_tiny_patch16_224"},
}
ENCODERS = [
    *("resnet34", "vgg11_bn", "efficientnet-b0", "inceptionv4", "mobilenet_v2", "tu-mobilenetv3_small_100"),
    *("tu-convnext_atto", "mit_b0", "densenet121"),
]
SMALLEST = {"smp-pan": 128}
"""Pixels; its pyramid halves the map of stride 16 three times."""
ONNX_SIDES = {"segmenter": 224, "smp-dpt": 224, "smp-pspnet": 96, "smp-upernet": 192, "smp-pan": 128}
"""Vision transformers resample embeddings of other sizes by a filter that ONNX lacks, and its pooling needs sides that
the pyramids divide."""
QUICK = {"fcn8s", "segnet", "smp-unet"}
NAMES = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in ARCHITECTURES]
"""The other architectures take longer; `pytest -m slow` runs them."""


def odd_side(name: str) -> int:
    """An odd multiple of the size multiple, of at least 96 pixels: normalisation in training needs several."""
    multiple = ARCHITECTURES[name].size_multiple
    return multiple * (-(-SMALLEST.get(name, 96) // multiple) | 1)


def make_network(name: str, bands: int, **arguments: Any) -> nn.Module:
    """A network in evaluation mode; its normalisations have statistics as after training."""
    if ARCHITECTURES[name].needs_extra and find_spec("segmentation_models_pytorch") is None:
        pytest.skip("needs geoseg[zoo]")
    torch.manual_seed(0)
    module = build(name, {"in_channels": bands, "classes": CLASSES, **SMALL.get(name, {}), **arguments}).eval()
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.3)
            layer.running_var.uniform_(0.5, 1.5)
    return module


def check_speed_path(module: nn.Module, name: str, bands: int, sides: tuple[int, ...]) -> None:
    batches = [torch.randn(1, bands, side, side) for side in sides]
    with torch.no_grad():
        expected = [module(pixels) for pixels in batches]
        fast = make_fast(module, ARCHITECTURES[name], batches[0], torch.float32, torch.device("cpu"))
        found = [fast(pixels.contiguous(memory_format=torch.channels_last)) for pixels in batches]
    for side, one, other in zip(sides, found, expected, strict=True):
        assert other.shape == (1, CLASSES, side, side)
        assert (one - other).abs().max() <= 1e-4 * other.abs().max()


@pytest.mark.parametrize(
    "bands", [pytest.param(3, marks=pytest.mark.slow), 4, pytest.param(13, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("name", NAMES)
def test_the_speed_path_is_the_same_function(name: str, bands: int) -> None:
    module = make_network(name, bands)
    assert module.size_multiple == ARCHITECTURES[name].size_multiple
    check_speed_path(module, name, bands, (SMALLEST.get(name, 64), 256, odd_side(name)))


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ENCODERS)
def test_encoders(encoder: str) -> None:
    module = make_network("smp-unet", 4, encoder_name=encoder)
    check_speed_path(module, "smp-unet", 4, (64, 96))


@pytest.mark.parametrize("name", NAMES)
def test_a_training_step_lowers_the_loss(name: str) -> None:
    module = make_network(name, 4).train()
    pixels, side = torch.randn(2, 4, odd_side(name), odd_side(name)), odd_side(name)
    labels = torch.randint(CLASSES, (2, side, side))

    def loss() -> torch.Tensor:
        torch.manual_seed(1)  # the same dropout
        return nn.functional.cross_entropy(module(pixels), labels)

    before = loss()
    before.backward()
    used = [tensor for tensor in module.parameters() if tensor.grad is not None]  # some encoders go further than used
    gradients = [tensor.grad for tensor in used]
    length = torch.sqrt(sum(gradient.square().sum() for gradient in gradients))
    assert torch.isfinite(length)
    with torch.no_grad():
        weights = [tensor.clone() for tensor in used]
        lower = []
        for step in (1e-1, 1e-2, 1e-3, 1e-4):
            for tensor, weight, gradient in zip(used, weights, gradients, strict=True):
                tensor.copy_(weight - step / length * gradient)
            lower.append(loss() < before)
    assert any(lower), "no step along the gradient lowers the loss"


@pytest.mark.parametrize("name", NAMES)
def test_onnx(name: str, tmp_path: Path) -> None:
    module, side = make_network(name, 4), ONNX_SIDES.get(name, odd_side(name))
    assert export_onnx(module, 4, side, tmp_path / "model.onnx", free=False) is None
    with torch.no_grad():
        assert agrees(module, tmp_path / "model.onnx", 4, (side, side))


@pytest.mark.parametrize("target", ["onnx", "pt2"])
@pytest.mark.parametrize("name", NAMES)
def test_an_export_for_other_programs(name: str, target: str, tmp_path: Path) -> None:
    module, side = make_network(name, 4), ONNX_SIDES.get(name, odd_side(name))
    arguments = {"in_channels": 4, "classes": CLASSES, **SMALL.get(name, {})}
    bundle = save_weights(tmp_path / "bundle", module, name, arguments, patch_px=side, overlap_px=0)
    file = tmp_path / f"exported.{target}"
    found = CliRunner().invoke(app, ["models", "export", str(bundle), "--to", target, "--output", str(file)])
    assert found.exit_code == 0, found.exception
    assert "batches of any size" in found.output


@pytest.mark.parametrize("name", NAMES)
def test_a_bundle_segments_a_scene(name: str, tmp_path: Path) -> None:
    module, side = make_network(name, 4), odd_side(name)
    arguments = {"in_channels": 4, "classes": CLASSES, **SMALL.get(name, {})}
    pixels = np.random.default_rng(2).integers(1, 256, (4, side, side)).astype(np.uint8)
    scaled = (torch.from_numpy(pixels.astype(np.float32))[None] - 128) / 64
    with torch.no_grad():
        last = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d) and layer.out_channels == CLASSES]
        spread = module(scaled).std((2, 3)).mean()
        for layer in last:  # logits of fresh weights are nearly equal
            layer.weight /= spread
            layer.bias /= spread
        if last:  # no class may win everywhere
            last[-1].bias -= module(scaled)[0].flatten(1).median(1).values
        expected = module(scaled)[0].argmax(0).numpy()
    bundle = save_weights(
        tmp_path / "bundle",
        module,
        name,
        arguments,
        patch_px=side,
        overlap_px=0,
        size_multiple=module.size_multiple,
        scaling=[{"type": "z-score", "mean": 128, "stddev": 64}],
    )
    scene = write_scene(tmp_path / "scene.tif", pixels)
    assert run(scene, bundle, tmp_path / "out", run={"address": "inline", "precision": "fp32"}).exit_code == 0
    found = read_band(tmp_path / "out" / "rasters" / "scene" / "classes.tif")
    assert len(np.unique(expected)) > 1
    assert (found == expected).mean() > 0.999


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name.startswith("smp-")])
@pytest.mark.parametrize(
    ("argument", "value", "words"),
    [
        ("encoder_weights", "imagenet", "nothing is downloaded"),
        ("activation", "softmax", "geoseg:activation states what follows"),
        ("aux_params", {"classes": 2}, "a bundle has one output"),
        ("encoder_name", "hf-hub:user/network", "the name of an encoder of segmentation-models-pytorch"),
        ("classes", 0, "a whole number from 1 to 255"),
    ],
)
def test_arguments_that_are_refused(name: str, argument: str, value: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build(name, {"in_channels": 3, "classes": 2, argument: value})
