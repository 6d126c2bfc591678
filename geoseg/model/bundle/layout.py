"""Order of the axes that a model takes and gives."""

from torch import Tensor

from geoseg.model.bundle.bundle import Bundle


class Layout:
    """NCHW or NHWC, as ``model.json`` says."""

    def __init__(self, bundle: Bundle) -> None:
        self._input_last = bundle.file.inputs[0].input.channels_last
        self._output_last = bundle.file.outputs[0].result.channels_last

    def enter(self, batch: Tensor) -> Tensor:
        """From (N, C, H, W) to what the model takes, contiguous."""
        return (batch.permute(0, 2, 3, 1) if self._input_last else batch).contiguous()

    def leave(self, output: Tensor) -> Tensor:
        """From what the model gives to (N, K, h, w)."""
        return output.permute(0, 3, 1, 2) if self._output_last and output.ndim == 4 else output
