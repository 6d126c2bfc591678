"""DeepLab v1, without its conditional random field."""

from torch import Tensor, nn

from geoseg.model.zoo.vgg import classifier, stage_channels, vgg_stages


class DeepLabV1(nn.Module):
    """DeepLab-LargeFOV (Chen, Papandreou, Kokkinos, Murphy and Yuille 2014, arXiv:1412.7062).

    VGG-16 in which the last two poolings keep the size, and the convolutions after them are dilated ("atrous") by 2 and
    by 12, so that scores have a stride of 8. They are enlarged bilinearly. The paper's last step, a fully connected
    conditional random field, is no part of the network.

    Input (N, in_channels, H, W) float32, output (N, classes, H, W) logits. H and W must be multiples of 8.

    Args:
        in_channels: Bands of the input.
        classes: Channels of the output.
        width: Channels of the first stage; 64 in the paper.
    """

    size_multiple = 8

    def __init__(self, in_channels: int, classes: int, width: int = 64) -> None:
        super().__init__()
        hidden = 16 * width
        self.stages = vgg_stages(in_channels, width, dilations=(1, 1, 1, 1, 2))
        self.classifier = classifier(nn.Conv2d(stage_channels(width)[-1], hidden, 3, padding=12, dilation=12), classes)

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits of every pixel."""
        x = pixels
        for stage, stride in zip(self.stages, (2, 2, 2, 1, 1), strict=True):
            x = nn.functional.max_pool2d(stage(x), 3, stride, padding=1)
        return nn.functional.interpolate(self.classifier(x), scale_factor=8.0, mode="bilinear")
