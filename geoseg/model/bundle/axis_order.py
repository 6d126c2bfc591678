"""Order of the axes of a model's input and output."""

from torch import Tensor

from geoseg.model.bundle.bundle import Bundle


class AxisOrder:
    """Converts between NCHW and the order that ``model.json`` declares, NCHW or NHWC."""

    def __init__(self, bundle: Bundle) -> None:
        self._input_last = bundle.file.inputs[0].input.channels_last
        self._output_last = bundle.file.outputs[0].result.channels_last

    def to_model(self, batch: Tensor) -> Tensor:
        """Convert (N, C, H, W) to the model's input order, contiguous."""
        return (batch.permute(0, 2, 3, 1) if self._input_last else batch).contiguous()

    def from_model(self, output: Tensor) -> Tensor:
        """Convert the model's output to (N, K, h, w)."""
        return output.permute(0, 3, 1, 2) if self._output_last and output.ndim == 4 else output
