"""Networks that geoseg builds by name, in plain torch."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class UNet(nn.Module):
    """A compact U-Net (Ronneberger et al., 2015, arXiv:1505.04597) with additive skips.

    Input (N, in_channels, H, W) float32, output (N, classes, H, W) logits. H and W must be multiples of
    ``2 ** depth``.

    Args:
        in_channels: Bands of the input.
        classes: Channels of the output.
        width: Channels at full resolution; each level down doubles them.
        depth: Number of times the resolution is halved.
    """

    def __init__(self, in_channels: int, classes: int, width: int = 16, depth: int = 4) -> None:
        super().__init__()
        self.size_multiple = 2**depth
        """Sides of the input must be multiples of this."""
        widths = [width * 2**level for level in range(depth + 1)]
        self.stem = _convolutions(in_channels, width)
        self.down = nn.ModuleList(_convolutions(a, b) for a, b in pairwise(widths))
        self.narrow = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairwise(widths))
        self.up = nn.ModuleList(_convolutions(a, a) for a in widths[:-1])
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits of every pixel."""
        x = self.stem(pixels)
        skips = []
        for down in self.down:
            skips.append(x)
            x = down(_halve(x))
        for narrow, up, skip in zip(reversed(self.narrow), reversed(self.up), reversed(skips), strict=True):
            x = up(skip + nn.functional.interpolate(narrow(x), scale_factor=2.0, mode="nearest"))
        return self.head(x)  # type: ignore[no-any-return]


ARCHITECTURES: Mapping[str, type[UNet]] = {"unet": UNet}
"""Names that a bundle may give in ``mlm:architecture``."""

MAX_ARGUMENTS: Mapping[str, int] = {"in_channels": 8192, "classes": 255, "width": 1024, "depth": 8}
"""Maximum of each argument, so that a bundle cannot request unlimited memory."""


def build(architecture: str, arguments: Mapping[str, Any]) -> UNet:
    """Build a network with fresh weights.

    Raises:
        ValueError: If the name is unknown or the arguments do not fit it.
    """
    if architecture not in ARCHITECTURES:
        raise ValueError(
            f"mlm:architecture {architecture!r} is none of geoseg's own ({', '.join(ARCHITECTURES)}), and a file of "
            "weights holds no network. Export the network itself, torch.onnx.export(network, pixels, 'model.onnx'), "
            'and write "geoseg:artifact": "model.onnx".'
        )
    for name, value in arguments.items():
        most = MAX_ARGUMENTS.get(name)
        if most is not None and not (type(value) is int and 1 <= value <= most):
            raise ValueError(f"geoseg:arguments {name}={value!r} is not a whole number from 1 to {most}. Correct it.")
    try:
        return ARCHITECTURES[architecture](**arguments)
    except TypeError as error:
        raise ValueError(
            f"geoseg:arguments {dict(arguments)} do not fit mlm:architecture {architecture!r}: {error}. Correct them."
        ) from error


def fold_normalisation(module: nn.Module) -> nn.Module:
    """Fold every batch normalisation that follows a convolution into its weights, in place; for inference only.

    The result differs by rounding only, and saves one pass over memory per layer.
    """
    for chain in list(module.modules()):
        if isinstance(chain, nn.Sequential):
            for place, (layer, after) in enumerate(pairwise(list(chain))):
                if isinstance(layer, nn.Conv2d) and isinstance(after, nn.BatchNorm2d):
                    chain[place], chain[place + 1] = fuse_conv_bn_eval(layer, after), nn.Identity()
    return module


def _halve(x: Tensor) -> Tensor:
    """Maximum of each 2 x 2 pixels. ``max_pool2d`` also computes its position and takes four times as long."""
    rows = torch.maximum(x[:, :, ::2], x[:, :, 1::2])
    return torch.maximum(rows[..., ::2], rows[..., 1::2])


def _convolutions(channels_in: int, channels_out: int) -> nn.Sequential:
    """Two 3x3 convolutions with batch normalisation and ReLU."""
    layers: list[nn.Module] = []
    for source in (channels_in, channels_out):
        layers += [
            nn.Conv2d(source, channels_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(True),
        ]
    return nn.Sequential(*layers)
