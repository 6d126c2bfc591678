"""FastFCN: joint pyramid upsampling instead of a dilated backbone."""

import torch
from torch import Tensor, nn

BLOCKS = (3, 4, 6, 3)
"""Blocks of each stage of ResNet-50."""
EXPANSION = 4
DILATIONS = (1, 2, 4, 8)


class FastFCN(nn.Module):
    """FastFCN with ResNet-50 and an FCN head (Wu, Zhang, Huang, Liang and Yu 2019, arXiv:1903.11816).

    The last three stages of the backbone (strides 8, 16 and 32) go through joint pyramid upsampling (JPU), which gives
    maps of stride 8 without dilated convolutions in the backbone. The backbone is that of He et al. 2015,
    arXiv:1512.03385, with strides in the 3 x 3 convolutions. The last step is bilinear.

    Input (N, in_channels, H, W) float32, output (N, classes, H, W) logits. H and W must be multiples of 32.

    Args:
        in_channels: Bands of the input.
        classes: Channels of the output.
        width: Channels of the first layer; 64 in the paper.
    """

    size_multiple = 32

    def __init__(self, in_channels: int, classes: int, width: int = 64) -> None:
        super().__init__()
        self.stem = _layer(in_channels, width, 7, stride=2)
        stages, source = [], width
        for place, count in enumerate(BLOCKS):
            inner = width * 2**place
            first = _Bottleneck(source, inner, stride=2 if place else 1)
            source = EXPANSION * inner
            stages.append(nn.Sequential(first, *(_Bottleneck(source, inner) for _ in range(count - 1))))
        self.stages = nn.ModuleList(stages)
        channels = 8 * width
        self.jpu = JointPyramidUpsampling([8 * width, 16 * width, 32 * width], channels)
        self.head = nn.Sequential(
            *_layer(len(DILATIONS) * channels, channels, 3), nn.Dropout(0.1), nn.Conv2d(channels, classes, 1)
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits of every pixel."""
        x = nn.functional.max_pool2d(self.stem(pixels), 3, 2, padding=1)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        x = self.head(self.jpu(features[1:]))
        return nn.functional.interpolate(x, scale_factor=8.0, mode="bilinear")


class JointPyramidUpsampling(nn.Module):
    """Maps of strides 8, 16 and 32 become one of stride 8 (section 3.3 of the paper).

    Args:
        sources: Channels of the three maps.
        channels: Channels of each branch; the output has four times as many.
    """

    def __init__(self, sources: list[int], channels: int) -> None:
        super().__init__()
        self.narrow = nn.ModuleList(_layer(source, channels, 3) for source in sources)
        self.branches = nn.ModuleList(_separable(len(sources) * channels, channels, dilation) for dilation in DILATIONS)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """The joint map, shape (N, 4 * channels, h, w) for a first map of (N, C, h, w)."""
        narrow = [layer(features) for layer, features in zip(self.narrow, maps, strict=True)]
        enlarged = [
            nn.functional.interpolate(features, scale_factor=float(2**place), mode="bilinear") if place else features
            for place, features in enumerate(narrow)
        ]
        joint = torch.cat(enlarged, 1)
        return torch.cat([branch(joint) for branch in self.branches], 1)


class _Bottleneck(nn.Module):
    def __init__(self, source: int, inner: int, stride: int = 1) -> None:
        super().__init__()
        target = EXPANSION * inner
        self.body = nn.Sequential(  # type: ignore[misc]
            *_layer(source, inner, 1), *_layer(inner, inner, 3, stride), *_layer(inner, target, 1)[:2]
        )
        changes = stride != 1 or source != target
        self.short = _layer(source, target, 1, stride)[:2] if changes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.relu(self.body(x) + self.short(x))


def _layer(source: int, target: int, kernel: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(source, target, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(target), nn.ReLU(True))


def _separable(source: int, target: int, dilation: int) -> nn.Sequential:
    """A convolution of each channel, then one of each pixel."""
    return nn.Sequential(
        nn.Conv2d(source, source, 3, padding=dilation, dilation=dilation, groups=source, bias=False),
        nn.BatchNorm2d(source),
        nn.Conv2d(source, target, 1, bias=False),
        nn.BatchNorm2d(target),
        nn.ReLU(True),
    )
