"""Load a bundle's artifact and run it on batches of patches."""

import io
import warnings
import zipfile
from collections.abc import Callable

import onnxruntime
import safetensors.torch
import torch
from onnxruntime.capi import onnxruntime_pybind11_state as onnx_errors
from safetensors import SafetensorError
from torch import Tensor
from torch.export.passes import move_to_device_pass

from geoseg.errors import SettingsError
from geoseg.model.architectures import build, fold_normalisation
from geoseg.model.bundle import ONNX_DATA_FILE, Bundle
from geoseg.model.finite import require_finite
from geoseg.model.inference import Precision
from geoseg.model.joined import Joined
from geoseg.model.predictor import Network
from geoseg.model.trust import read_artifact

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}

_DAMAGED = (
    SafetensorError,
    ValueError,
    RuntimeError,
    onnx_errors.Fail,
    onnx_errors.InvalidGraph,
    onnx_errors.InvalidProtobuf,
    onnx_errors.InvalidArgument,
    onnx_errors.NotImplemented,
)


def load_network(bundle: Bundle, device: torch.device, threads: int, precision: Precision = "fp32") -> Network:
    """Load the artifact of a bundle.

    Args:
        bundle: The bundle.
        device: Where batches will lie.
        threads: CPU threads of the forward pass; fixed, since a sum's order may depend on it.
        precision: What convolutions compute in; ``model.onnx`` computes as it was exported.

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
                return _OnnxNetwork(bundle, artifact, files.get(ONNX_DATA_FILE), device, threads)
            case "model.pt2":
                return _CodeNetwork(bundle, *_foreign(_load_program, artifact, device), device, precision)
            case "model.torchscript.pt":
                return _CodeNetwork(bundle, *_foreign(_load_script, artifact, device), device, precision)
    except _DAMAGED as error:
        reason = str(error).splitlines()[0]
        raise SettingsError(
            f"{bundle.artifact} cannot be loaded: {reason}. Copy or export the bundle again."
        ) from error


class _TorchNetwork:
    fixed_batch: int | None = None

    def __init__(self, bundle: Bundle, artifact: bytes, device: torch.device, precision: Precision) -> None:
        network = build(bundle.file.architecture, bundle.file.arguments)
        weights = safetensors.torch.load(artifact)
        require_finite(weights.items())
        network.load_state_dict(weights)
        self.dtype = DTYPES[precision]
        # Folded first: what is rounded to bfloat16 are the weights that multiply.
        module = fold_normalisation(network.eval()).to(device, self.dtype)
        require_finite(module.state_dict().items(), "after its normalisation was worked in")
        module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if device.type == "cpu" and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
            module = Joined(module, network.size_multiple)
        self._module = module

    def __call__(self, batch: Tensor) -> Tensor:
        with torch.inference_mode():
            return self._module(batch.contiguous(memory_format=torch.channels_last))  # type: ignore[no-any-return]


class _OnnxNetwork:
    dtype = torch.float32

    def __init__(self, bundle: Bundle, artifact: bytes, data: bytes | None, device: torch.device, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.use_deterministic_compute = True
        options.log_severity_level = 3
        providers = ["CUDAExecutionProvider"] if device.type == "cuda" else ["CPUExecutionProvider"]
        missing = set(providers) - set(onnxruntime.get_available_providers())
        if missing:
            raise SettingsError(
                f"device=cuda needs onnxruntime's {missing.pop()} for {bundle.artifact}, and the installed onnxruntime "
                f"has only {onnxruntime.get_available_providers()}. Install onnxruntime-gpu or set run.device=cpu."
            )
        if data is not None:
            options.add_external_initializers_from_files_in_memory([ONNX_DATA_FILE], [data], [len(data)])
        self._session = onnxruntime.InferenceSession(artifact, options, providers=providers)
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            raise ValueError(f"it has {len(inputs)} inputs ({', '.join(i.name for i in inputs)}), geoseg feeds one")
        self._input = inputs[0].name
        batch = inputs[0].shape[0] if inputs[0].shape else None
        self.fixed_batch: int | None = batch if isinstance(batch, int) else None
        self._output = _only_or_named([output.name for output in self._session.get_outputs()], bundle)
        self._layout = _Layout(bundle)

    def __call__(self, batch: Tensor) -> Tensor:
        array = self._layout.enter(batch).cpu().numpy()
        output = torch.from_numpy(self._session.run([self._output], {self._input: array})[0])
        return self._layout.leave(output).to(batch.device, torch.float32)


class _CodeNetwork:
    """A module that came with its own code; in bf16 torch chooses which of its layers compute so."""

    dtype = torch.float32

    def __init__(
        self,
        bundle: Bundle,
        module: Callable[[Tensor], Tensor],
        fixed_batch: int | None,
        device: torch.device,
        precision: Precision,
    ) -> None:
        require_finite(_tensors_of(module).items())
        self._module = module
        self.fixed_batch = fixed_batch
        self._layout = _Layout(bundle)
        self._device, self._halved = device.type, precision == "bf16"

    def __call__(self, batch: Tensor) -> Tensor:
        # TorchScript would otherwise fuse operators after its first calls, and later patches get other bits.
        autocast = torch.autocast(self._device, torch.bfloat16, enabled=self._halved)
        with torch.inference_mode(), torch.jit.optimized_execution(False), autocast:  # type: ignore[attr-defined]
            return self._layout.leave(self._module(self._layout.enter(batch)))


class _Layout:
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


def _tensors_of(module: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    """Weights of a module that came with its code, as far as it lists them."""
    if not isinstance(module, torch.nn.Module):
        return {}
    return dict([*module.named_parameters(), *module.named_buffers()])


_Loaded = tuple[Callable[[Tensor], Tensor], int | None]
"""A module, and the only batch size it takes."""


def _foreign(load: Callable[[bytes, torch.device], _Loaded], artifact: bytes, device: torch.device) -> _Loaded:
    try:
        return load(artifact, device)
    except Exception as error:  # whatever foreign code raises while it is loaded, the bundle is at fault
        raise ValueError(str(error).strip() or type(error).__name__) from error


def _load_program(artifact: bytes, device: torch.device) -> _Loaded:
    """Load what torch.export saved."""
    if not zipfile.is_zipfile(io.BytesIO(artifact)):  # torch would log a traceback
        raise ValueError("it is not an archive of torch.export")
    program = move_to_device_pass(torch.export.load(io.BytesIO(artifact)), device)
    (name,) = program.graph_signature.user_inputs
    (shape,) = [node.meta["val"].shape for node in program.graph.nodes if node.name == name]
    return program.module(), shape[0] if isinstance(shape[0], int) else None


def _load_script(artifact: bytes, device: torch.device) -> _Loaded:
    """Load what torch.jit saved; it does not say which batches it takes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.load` is deprecated", DeprecationWarning)
        module = torch.jit.load(io.BytesIO(artifact), map_location=device)  # type: ignore[no-untyped-call]
    return module.eval(), None


def _only_or_named(outputs: list[str], bundle: Bundle) -> str:
    """The output that holds the logits: the only one, or of several the one that ``mlm:output`` names."""
    named = bundle.file.outputs[0].name
    if len(outputs) > 1 and named not in outputs:
        raise ValueError(f"it has the outputs {', '.join(outputs)}, and mlm:output names {named}, none of them")
    return outputs[0] if len(outputs) == 1 else str(named)
