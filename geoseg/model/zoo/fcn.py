"""Fully convolutional networks."""

import torch
from torch import Tensor, nn

from geoseg.model.zoo.vgg import classifier, stage_channels, vgg_stages


class FCN(nn.Module):
    """FCN-32s, FCN-16s or FCN-8s on VGG-16 (Long, Shelhamer and Darrell 2015, arXiv:1411.4038).

    The classifier of VGG-16 becomes two convolutions of stride 32. Its scores are doubled in size, by filters that are
    learnt and begin as bilinear interpolation, and added to those of pool4 and pool3; the last step is bilinear.
    The input is not padded by 100 pixels: the 7 x 7 convolution pads by 3, so that maps need no cropping.

    Input (N, in_channels, H, W) float32, output (N, classes, H, W) logits. H and W must be multiples of 32.

    Args:
        in_channels: Bands of the input.
        classes: Channels of the output.
        stride: Size in pixels of the last step: 32, 16 or 8.
        width: Channels of the first stage; 64 in the paper.
    """

    size_multiple = 32

    def __init__(self, in_channels: int, classes: int, stride: int, width: int = 64) -> None:
        super().__init__()
        channels, hidden = stage_channels(width), 64 * width
        self.stride = stride
        self.stages = vgg_stages(in_channels, width)
        self.classifier = classifier(nn.Conv2d(channels[-1], hidden, 7, padding=3), classes)
        skips = {32: [], 16: [channels[3]], 8: [channels[3], channels[2]]}[stride]
        self.scores = nn.ModuleList(nn.Conv2d(count, classes, 1) for count in skips)
        self.doubling = nn.ModuleList(_doubling(classes) for _ in skips)

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits of every pixel."""
        x, pools = pixels, []
        for stage in self.stages:
            x = nn.functional.max_pool2d(stage(x), 2)
            pools.append(x)
        x = self.classifier(x)
        for double, score, pool in zip(self.doubling, self.scores, (pools[3], pools[2]), strict=False):
            x = double(x) + score(pool)
        return nn.functional.interpolate(x, scale_factor=float(self.stride), mode="bilinear")


def _doubling(classes: int) -> nn.ConvTranspose2d:
    """A transposed convolution that begins as bilinear interpolation by 2, each class by itself."""
    layer = nn.ConvTranspose2d(classes, classes, 4, stride=2, padding=1, bias=False)
    slope = torch.tensor([0.25, 0.75, 0.75, 0.25])
    with torch.no_grad():
        layer.weight.zero_()
        for channel in range(classes):
            layer.weight[channel, channel] = slope.outer(slope)
    return layer
