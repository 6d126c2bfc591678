"""The convolutions of VGG-16, from which early segmentation networks were made."""

from collections.abc import Sequence

from torch import nn

LAYERS = (2, 2, 3, 3, 3)
"""Convolutions of each stage."""


def stage_channels(width: int) -> list[int]:
    """Channels of each stage: 64, 128, 256, 512, 512 for a width of 64."""
    return [width, 2 * width, 4 * width, 8 * width, 8 * width]


def vgg_stages(in_channels: int, width: int, dilations: Sequence[int] = (1, 1, 1, 1, 1)) -> nn.ModuleList:
    """The five stages of VGG-16 without the pooling between them.

    Simonyan and Zisserman 2015, arXiv:1409.1556, configuration D. Stages keep the size of their input.

    Args:
        in_channels: Bands of the input.
        width: Channels of the first stage; 64 in the paper.
        dilations: Dilation of the convolutions of each stage.
    """
    stages, source = [], in_channels
    for count, channels, dilation in zip(LAYERS, stage_channels(width), dilations, strict=True):
        layers: list[nn.Module] = []
        for _ in range(count):
            layers += [nn.Conv2d(source, channels, 3, padding=dilation, dilation=dilation), nn.ReLU(True)]
            source = channels
        stages.append(nn.Sequential(*layers))
    return nn.ModuleList(stages)


def classifier(first: nn.Conv2d, classes: int) -> nn.Sequential:
    """The classifier of VGG-16 as convolutions: the first, one of 1 x 1 pixels, and the scores of the classes."""
    hidden = first.out_channels
    return nn.Sequential(
        first,
        nn.ReLU(True),
        nn.Dropout2d(),
        nn.Conv2d(hidden, hidden, 1),
        nn.ReLU(True),
        nn.Dropout2d(),
        nn.Conv2d(hidden, classes, 1),
    )
