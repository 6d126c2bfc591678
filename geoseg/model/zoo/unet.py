"""A compact U-Net in plain torch."""

from itertools import pairwise

import torch
from torch import Tensor, nn


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
