"""SegNet."""

import itertools

from torch import Tensor, nn

from geoseg.model.zoo.vgg import LAYERS, stage_channels


class SegNet(nn.Module):
    """SegNet (Badrinarayanan, Kendall and Cipolla 2015, arXiv:1511.00561).

    The encoder is VGG-16 with batch normalisation. Each maximum is remembered by its place, and the decoder puts its
    values back to these places instead of interpolating.

    Input (N, in_channels, H, W) float32, output (N, classes, H, W) logits. H and W must be multiples of 32.

    Args:
        in_channels: Bands of the input.
        classes: Channels of the output.
        width: Channels of the first stage; 64 in the paper.
    """

    size_multiple = 32

    def __init__(self, in_channels: int, classes: int, width: int = 64) -> None:
        super().__init__()
        channels = stage_channels(width)
        sources = [in_channels, *channels[:-1]]
        self.down = nn.ModuleList(
            nn.Sequential(*_convolutions([source] + [target] * count))
            for source, target, count in zip(sources, channels, LAYERS, strict=True)
        )
        up = [
            nn.Sequential(*_convolutions([source] * count + [target]))
            for source, target, count in zip(channels[:0:-1], channels[-2::-1], LAYERS[:0:-1], strict=True)
        ]
        self.up = nn.ModuleList(
            [*up, nn.Sequential(*_convolutions([width, width]), nn.Conv2d(width, classes, 3, padding=1))]
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits of every pixel."""
        x, places = pixels, []
        for down in self.down:
            x, place = nn.functional.max_pool2d(down(x), 2, return_indices=True)
            places.append(place)
        for up, place in zip(self.up, reversed(places), strict=True):
            x = up(put_back(x, place))
        return x


def put_back(values: Tensor, places: Tensor) -> Tensor:
    """Maps of twice the size with the values at their places and zeros elsewhere.

    It is `torch.nn.functional.max_unpool2d`, which ONNX does not have.
    """
    batch, channels, height, width = values.shape
    empty = values.new_zeros((batch, channels, 4 * height * width))
    return empty.scatter(2, places.flatten(2), values.flatten(2)).view(batch, channels, 2 * height, 2 * width)


def _convolutions(channels: list[int]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for source, target in itertools.pairwise(channels):
        layers += [nn.Conv2d(source, target, 3, padding=1), nn.BatchNorm2d(target), nn.ReLU(True)]
    return layers
