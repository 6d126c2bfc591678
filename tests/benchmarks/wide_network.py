"""A U-Net as expensive as a ResNet-18 U-Net with the results of the demo's small one.

A landscape's polygons are part of the work, so random weights will not do: their class map is noise. The wide network
holds the demo's in its first channels, which take nothing from the others; those are random and cost what they cost.
"""

import json
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from geoseg.demo.command import BUNDLE
from geoseg.model.zoo.unet import UNet

WIDTH, DEPTH = 24, 4
"""5.24 GMAC for a patch of 256 px. segmentation-models-pytorch's Unet on resnet18 has 5.50 and takes a little longer on
a core with AMX. A width of 25 would have more, but 24 suits vector units and hides less of the pipeline."""
SEED = 0


def write_wide_bundle(folder: Path) -> Path:
    """Write the demo's bundle with the wide network in place of its own."""
    model = json.loads((BUNDLE / "model.json").read_text())
    arguments = {**model["geoseg:arguments"], "width": WIDTH, "depth": DEPTH}
    network = widen(safetensors.torch.load_file(BUNDLE / "weights.safetensors"), arguments)
    del model["mlm:total_parameters"]
    folder.mkdir()
    model |= {"mlm:name": "wide", "geoseg:arguments": arguments, "geoseg:size_multiple": 2**DEPTH}
    (folder / "model.json").write_text(json.dumps(model))
    safetensors.torch.save_file(network.state_dict(), folder / "weights.safetensors")
    return folder


def widen(small: dict[str, torch.Tensor], arguments: dict[str, int]) -> UNet:
    """Put a U-Net's weights into the first channels of one that is wider and one level deeper; in evaluation mode.

    Args:
        small: Weights of the U-Net, three levels deep.
        arguments: Those of the wide one.
    """
    torch.manual_seed(SEED)
    wide = UNet(**arguments).eval()
    state = wide.state_dict()
    for name, weights in small.items():
        if weights.ndim == 4:
            state[name][: len(weights), weights.shape[1] :] = 0
        state[name][tuple(slice(size) for size in weights.shape)] = weights
    _pass_by(wide, len(small["down.2.0.weight"]))
    return wide


def _pass_by(wide: UNet, channels: int) -> None:
    """Let the level that the small network lacks, its way down and up again, leave these channels as they are."""
    with torch.no_grad():
        wide.narrow[-1].weight[:channels] = wide.narrow[-1].bias[:channels] = 0
        for layer in wide.up[-1]:
            if isinstance(layer, nn.Conv2d):
                nn.init.dirac_(layer.weight[:channels])
            elif isinstance(layer, nn.BatchNorm2d):
                layer.running_var[:channels] = 1 - layer.eps
