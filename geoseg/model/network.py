"""Load a bundle's artifact and run it on batches of patches."""

import io
import textwrap
import warnings
import zipfile
from collections.abc import Callable
from typing import NamedTuple

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.export.passes import move_to_device_pass
from torch.export.pt2_archive._package import load_pt2

from geoseg.errors import SettingsError
from geoseg.model import onnx_network
from geoseg.model.bundle.axis_order import AxisOrder
from geoseg.model.bundle.bundle import Bundle
from geoseg.model.bundle.files import MODEL_FILE
from geoseg.model.bundle.trust import read_artifact
from geoseg.model.finite import require_finite
from geoseg.model.fusion.fast import make_fast
from geoseg.model.inference import Precision
from geoseg.model.patchwork.protocol import Network
from geoseg.model.zoo.architectures import ARCHITECTURES, build

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}

_DAMAGED: tuple[type[Exception], ...] = (SafetensorError, ValueError, *onnx_network.ERRORS)
MAX_REASON_CHARS = 1000
"""Maximum length of a loader's message that is shown."""


def load_network(bundle: Bundle, device: torch.device, threads: int, precision: Precision = "fp32") -> Network:
    """Load the artifact of a bundle.

    Args:
        bundle: The bundle.
        device: Device of the batches.
        threads: CPU threads of the forward pass; fixed, since the order of sums may depend on it.
        precision: Data type of convolutions; ``model.onnx`` computes as it was exported.

    Raises:
        SettingsError: If the artifact may not be loaded here, does not fit ``model.json`` or is damaged.
    """
    files = read_artifact(bundle)
    artifact = files[bundle.file.artifact]
    try:
        match bundle.file.artifact:
            case "weights.safetensors":
                return _TorchNetwork(bundle, artifact, device, precision)
            case "model.onnx":
                return onnx_network.OnnxNetwork(bundle, artifact, files, device, threads)
            case "model.pt2":
                return _CodeNetwork(bundle, _load_untrusted(load_program, artifact, device), device, precision)
            case "model.torchscript.pt":
                return _CodeNetwork(bundle, _load_untrusted(load_script, artifact, device), device, precision)
    except _DAMAGED as error:
        raise SettingsError(
            f"{bundle.artifact} cannot be loaded: {one_line(error)}. Copy or export the bundle again."
        ) from error


def one_line(error: Exception) -> str:
    """The message of a foreign error in one line, shortened."""
    text = " ".join(str(error).split()) or type(error).__name__
    return textwrap.shorten(text, MAX_REASON_CHARS, placeholder=" ...").rstrip(".")


class _TorchNetwork:
    fixed_batch: int | None = None
    free_bytes: int | None = None

    def __init__(self, bundle: Bundle, artifact: bytes, device: torch.device, precision: Precision) -> None:
        network = build_network(bundle, artifact)
        self.dtype = DTYPES[precision]
        multiple, patch_px = int(network.size_multiple), bundle.patch_px  # type: ignore[arg-type]  # `build` sets it
        side_px = multiple if patch_px % multiple else patch_px
        pixels = torch.zeros(1, len(bundle.bands), side_px, side_px)
        self._module = make_fast(network, ARCHITECTURES[bundle.file.architecture], pixels, self.dtype, device)
        require_finite(network.state_dict().items(), "after its normalisation was worked in")

    def __call__(self, batch: Tensor) -> Tensor:
        with torch.inference_mode():
            return self._module(batch.contiguous(memory_format=torch.channels_last))  # type: ignore[no-any-return]


def build_network(bundle: Bundle, artifact: bytes) -> torch.nn.Module:
    """Build the network that ``model.json`` names and load its weights; allocates memory only if they match.

    Args:
        bundle: The bundle.
        artifact: The content of its ``weights.safetensors``.

    Raises:
        SettingsError: If the architecture is unknown.
        ValueError, SafetensorError: If the weights are damaged, do not match the network or are not finite.
    """
    weights = safetensors.torch.load(artifact)
    named, arguments = bundle.file.architecture, bundle.file.arguments
    try:
        with torch.device("meta"):
            wanted = build(named, arguments).state_dict()
    except ValueError as error:
        raise SettingsError(f"{bundle.path / MODEL_FILE}: {error}") from error
    for name in sorted(wanted.keys() | weights.keys()):
        found, expected = (None if name not in of else (list(of[name].shape), of[name].is_floating_point())
                           for of in (weights, wanted))  # fmt: skip
        if found != expected:
            raise ValueError(
                f"its weights are not those of {named!r} with the geoseg:arguments {arguments}: {name} is "
                f"{_describe(found)}, and {_describe(expected)} is expected"
            )
    require_finite(weights.items())
    network = build(named, arguments)
    network.load_state_dict(weights)
    return network


def _describe(tensor: tuple[list[int], bool] | None) -> str:
    return "absent" if tensor is None else f"{tensor[0]} of {'floats' if tensor[1] else 'integers'}"


class _CodeNetwork:
    """A module with its own code; in bf16, torch's autocast chooses the layers that compute in bfloat16."""

    dtype = torch.float32
    free_bytes: int | None = None

    def __init__(self, bundle: Bundle, loaded: "Loaded", device: torch.device, precision: Precision) -> None:
        self._module, self.fixed_batch, _ = loaded
        require_finite([*self._module.named_parameters(), *self._module.named_buffers()], masks=True)
        self._axes = AxisOrder(bundle)
        self._device, self._halved = device.type, precision == "bf16"

    def __call__(self, batch: Tensor) -> Tensor:
        # TorchScript would otherwise fuse operators after its first calls and change the bits of later patches.
        autocast = torch.autocast(self._device, torch.bfloat16, enabled=self._halved)
        with torch.inference_mode(), torch.jit.optimized_execution(False), autocast:  # type: ignore[attr-defined]
            return self._axes.from_model(self._module(self._axes.to_model(batch)))


class Loaded(NamedTuple):
    """A module with its own code."""

    module: torch.nn.Module
    batch: int | None
    """The only batch size that it accepts; None for any, or if it does not say."""
    shape: tuple[int | None, ...] = ()
    """The shape of its input, None where any size is accepted; empty if it does not say."""


def _load_untrusted(load: Callable[[bytes, torch.device], Loaded], artifact: bytes, device: torch.device) -> Loaded:
    try:
        return load(artifact, device)
    except Exception as error:  # any error of foreign code is a fault of the bundle
        raise ValueError(str(error).strip() or type(error).__name__) from error


def load_program(artifact: bytes, device: torch.device) -> Loaded:
    """Load a program that torch.export saved; it may run code.

    Raises:
        Exception: Of any type, if it cannot be loaded.
    """
    if not zipfile.is_zipfile(io.BytesIO(artifact)):  # torch would log a traceback
        raise ValueError("it is not an archive of torch.export")
    program = move_to_device_pass(torch.export.load(io.BytesIO(artifact)), device)
    (name,) = program.graph_signature.user_inputs
    (shape,) = [node.meta["val"].shape for node in program.graph.nodes if node.name == name]
    sizes = tuple(size if isinstance(size, int) else None for size in shape)
    return Loaded(program.module(), sizes[0], sizes)


def load_programs(artifact: bytes) -> dict[str, torch.nn.Module]:
    """Load all programs of an archive of torch.export, by their names; they may run code.

    Raises:
        Exception: Of any type, if they cannot be loaded.
    """
    return {name: program.module() for name, program in load_pt2(io.BytesIO(artifact)).exported_programs.items()}


def load_script(artifact: bytes, device: torch.device) -> Loaded:
    """Load a module that torch.jit saved, which does not declare a batch size; it may run code.

    Raises:
        Exception: Of any type, if it cannot be loaded.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.load` is deprecated", DeprecationWarning)
        module = torch.jit.load(io.BytesIO(artifact), map_location=device)  # type: ignore[no-untyped-call]
    return Loaded(module.eval(), None)
