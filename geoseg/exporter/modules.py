"""A bundle's network as one module whose input and output are those of the exported file."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from geoseg.errors import SettingsError
from geoseg.importer.sources.programs import Program
from geoseg.model.bundle.axis_order import AxisOrder
from geoseg.model.bundle.bundle import Bundle
from geoseg.model.bundle.scaling import Step, apply_steps
from geoseg.model.bundle.trust import read_artifact
from geoseg.model.network import Loaded, build_network, load_program, load_script, one_line
from geoseg.model.patchwork.scores import Activation, activate, enlarge


class Scaling(nn.Module):
    """The scaling of raw pixels, float32 of shape (N, C, H, W)."""

    def __init__(self, steps: Sequence[Step], factor: float = 1.0) -> None:
        super().__init__()
        self._steps, self._factor = tuple(steps), factor

    def forward(self, pixels: Tensor) -> Tensor:
        """Multiply by the factor and apply the steps."""
        # Not `scale_pixels`: its cache must not keep tensors of a tracer.
        pixels = pixels * self._factor
        scaled: Tensor = apply_steps(pixels, self._steps, torch, lambda numbers: torch.tensor(numbers)[:, None, None])
        return scaled


class ToModel(nn.Module):
    """Convert NCHW to the order that the bundle's artifact takes."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__()
        self._axes = AxisOrder(bundle)

    def forward(self, pixels: Tensor) -> Tensor:
        """Permute the axes."""
        return self._axes.to_model(pixels)


class Logits(nn.Module):
    """Convert the artifact's output to a map of the patch's size with a channel for each class."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__()
        self._axes, self._side, self._classes = AxisOrder(bundle), bundle.patch_px, len(bundle.legend)
        self._activation = bundle.file.activation

    def forward(self, output: Tensor) -> Tensor:
        """Shape (N, classes, P, P); `returned_activation` says what is left to do."""
        output = enlarge(self._axes.from_model(output), self._side)
        if output.shape[1] == self._classes:
            return output
        # One channel: softmax of (0, z) is the sigmoid of z.
        other = 1 - output.clamp(0, 1) if self._activation == "none" else torch.zeros_like(output)
        return torch.cat([other, output], 1)


class Probabilities(nn.Module):
    """Convert the artifact's output to the probabilities that geoseg blends."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__()
        self._axes, self._side = AxisOrder(bundle), bundle.patch_px
        self._activation, self._classes = bundle.file.activation, len(bundle.legend)

    def forward(self, output: Tensor) -> Tensor:
        """Shape (N, classes, P, P)."""
        return activate(enlarge(self._axes.from_model(output), self._side), self._activation, self._classes)


def returned_activation(bundle: Bundle) -> Activation:
    """What turns the output of `Logits` into probabilities."""
    one_channel = bundle.file.outputs[0].result.channels == 1
    return "softmax" if bundle.file.activation == "sigmoid" and one_channel else bundle.file.activation


def load_torch(bundle: Bundle, *, program_as_part: bool) -> Loaded:
    """Load the network of a bundle as a module of torch.

    Args:
        bundle: A bundle that is not ONNX, trusted if its artifact needs it.
        program_as_part: Let a program of torch.export be a submodule, as torch.export needs it; the exporter of ONNX
            would set its mode, which it has not.

    Raises:
        SettingsError: If it cannot be loaded.
    """
    artifact = read_artifact(bundle)[bundle.file.artifact]
    try:
        if bundle.file.artifact == "weights.safetensors":
            return Loaded(build_network(bundle, artifact).eval(), None)
        if bundle.file.artifact == "model.torchscript.pt":
            return load_script(artifact, torch.device("cpu"))
        loaded = load_program(artifact, torch.device("cpu"))
    except SettingsError:
        raise
    except Exception as error:  # any error of foreign code
        raise SettingsError(f"{bundle.artifact} cannot be loaded: {one_line(error)}. Copy the bundle again.") from error
    return loaded if program_as_part else loaded._replace(module=Program(loaded.module))
