"""LeNet-5 as a classifier of small patches, for teaching."""

from torch import Tensor, nn

WINDOW_PX, STRIDE_PX = 32, 4


class LeNet(nn.Module):
    """LeNet-5 (LeCun, Bottou, Bengio and Haffner 1998, doi:10.1109/5.726791) at every fourth pixel.

    The network gives one label to 32 x 32 pixels. Its layers are convolutions here, so it labels the windows around all
    cells of 4 x 4 pixels in one pass (zeros beyond the rim), and the logits of a cell are those of its pixels. All maps
    of the second layer see all of the first, and the output is linear instead of radial basis functions.

    Input (N, in_channels, H, W) float32, output (N, classes, H, W) logits. H and W must be multiples of 4.

    Args:
        in_channels: Bands of the input.
        classes: Channels of the output.
        width: Channels of the first layer; 6 in the paper, then 16, 120 and 84.
    """

    size_multiple = STRIDE_PX

    def __init__(self, in_channels: int, classes: int, width: int = 6) -> None:
        super().__init__()
        around = (WINDOW_PX - STRIDE_PX) // 2
        self.rim = nn.ZeroPad2d(around)
        self.window = nn.Sequential(
            nn.Conv2d(in_channels, width, 5),
            nn.AvgPool2d(2),
            nn.Tanh(),
            nn.Conv2d(width, 16 * width // 6, 5),
            nn.AvgPool2d(2),
            nn.Tanh(),
            nn.Conv2d(16 * width // 6, 20 * width, 5),
            nn.Tanh(),
            nn.Conv2d(20 * width, 14 * width, 1),
            nn.Tanh(),
            nn.Conv2d(14 * width, classes, 1),
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits of every pixel, equal within cells of 4 x 4 pixels."""
        labels = self.window(self.rim(pixels))
        return nn.functional.interpolate(labels, scale_factor=float(STRIDE_PX), mode="nearest")
