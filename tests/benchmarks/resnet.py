"""The usual U-Net on a ResNet encoder, in torch alone: what benchmarks take for a larger network.

Encoder: He et al., 2016, arXiv:1512.03385, basic blocks. Decoder: channels 256, 128, 64, 32, 16, as in
segmentation-models-pytorch. Weights are random.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
ENCODER = (64, 64, 128, 256, 512)
DECODER = (256, 128, 64, 32, 16)


class ResNetUNet(nn.Module):
    """Input (N, in_channels, H, W), output (N, classes, H, W); H and W multiples of 32."""

    def __init__(self, in_channels: int, classes: int, layers: int = 34) -> None:
        super().__init__()
        self.stem = _layer(in_channels, ENCODER[0], kernel=7, stride=2)
        stages, channels = [], ENCODER[0]
        for place, (count, width) in enumerate(zip(BLOCKS[layers], ENCODER[1:], strict=True)):
            blocks = [_Basic(channels, width, 2 if place else 1), *(_Basic(width, width) for _ in range(count - 1))]
            stages.append(nn.Sequential(*blocks))
            channels = width
        self.stages = nn.ModuleList(stages)
        skips = (*reversed(ENCODER[:-1]), 0)
        inputs = (ENCODER[-1], *DECODER[:-1])
        self.decoder = nn.ModuleList(
            nn.Sequential(*_layer(a + skip, b), *_layer(b, b))
            for a, skip, b in zip(inputs, skips, DECODER, strict=True)
        )
        self.head = nn.Conv2d(DECODER[-1], classes, 3, padding=1)

    def forward(self, pixels: Tensor) -> Tensor:
        features = [self.stem(pixels)]
        x = nn.functional.max_pool2d(features[0], 3, 2, 1)
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        skips: Sequence[Tensor | None] = [*reversed(features[:-1]), None]
        for layer, skip in zip(self.decoder, skips, strict=True):
            x = nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = layer(x if skip is None else torch.cat([x, skip], 1))
        return self.head(x)


class _Basic(nn.Module):
    def __init__(self, channels_in: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        second = [nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)]
        self.body = nn.Sequential(*_layer(channels_in, channels, stride=stride), *second)
        self.short: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels:
            conv = nn.Conv2d(channels_in, channels, 1, stride, bias=False)
            self.short = nn.Sequential(conv, nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.relu(self.body(x) + self.short(x))


def _layer(channels_in: int, channels: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(channels_in, channels, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU(True))
