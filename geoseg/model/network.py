"""Load a bundle's artifact and run it on batches of patches."""

from typing import Protocol

import onnxruntime
import safetensors.torch
import torch
from onnxruntime.capi import onnxruntime_pybind11_state as onnx_errors
from safetensors import SafetensorError
from torch import Tensor

from geoseg.errors import SettingsError
from geoseg.model.architectures import build
from geoseg.model.bundle import Bundle

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


class Network(Protocol):
    """A loaded artifact."""

    @property
    def fixed_batch(self) -> int | None:
        """The only batch size it takes, or None for any."""

    def __call__(self, batch: Tensor) -> Tensor:
        """Run the forward pass.

        Args:
            batch: float32 on the network's device, shape (N, C, H, W).

        Returns:
            float32 on the same device, shape (N, K, h, w): the model's own output size, not yet activated.
        """


def load_network(bundle: Bundle, device: torch.device, threads: int) -> Network:
    """Load the artifact of a bundle.

    Args:
        bundle: The bundle.
        device: Where batches will lie.
        threads: CPU threads of the forward pass; fixed, since a sum's order may depend on it.

    Raises:
        SettingsError: If the artifact does not fit ``model.json`` or is damaged.
    """
    try:
        if bundle.file.artifact == "model.onnx":
            return _OnnxNetwork(bundle, device, threads)
        return _TorchNetwork(bundle, device)
    except _DAMAGED as error:
        reason = str(error).splitlines()[0]
        raise SettingsError(
            f"{bundle.artifact} cannot be loaded: {reason}. Copy or export the bundle again."
        ) from error


class _TorchNetwork:
    fixed_batch: int | None = None

    def __init__(self, bundle: Bundle, device: torch.device) -> None:
        module = build(bundle.file.architecture, bundle.file.arguments)
        module.load_state_dict(safetensors.torch.load_file(bundle.artifact))
        self._module = module.eval().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __call__(self, batch: Tensor) -> Tensor:
        with torch.inference_mode():
            return self._module(batch.contiguous(memory_format=torch.channels_last)).float()  # type: ignore[no-any-return]


class _OnnxNetwork:
    def __init__(self, bundle: Bundle, device: torch.device, threads: int) -> None:
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
        self._session = onnxruntime.InferenceSession(bundle.artifact, options, providers=providers)
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            raise ValueError(f"it has {len(inputs)} inputs ({', '.join(i.name for i in inputs)}), geoseg feeds one")
        self._input = inputs[0].name
        batch = inputs[0].shape[0] if inputs[0].shape else None
        self.fixed_batch: int | None = batch if isinstance(batch, int) else None
        self._output = _only_or_named([output.name for output in self._session.get_outputs()], bundle)
        self._input_last = bundle.file.inputs[0].input.channels_last
        self._output_last = bundle.file.outputs[0].result.channels_last

    def __call__(self, batch: Tensor) -> Tensor:
        array = (batch.permute(0, 2, 3, 1) if self._input_last else batch).contiguous().cpu().numpy()
        output = torch.from_numpy(self._session.run([self._output], {self._input: array})[0])
        if self._output_last and output.ndim == 4:
            output = output.permute(0, 3, 1, 2)
        return output.to(batch.device, torch.float32)


def _only_or_named(outputs: list[str], bundle: Bundle) -> str:
    """The output that holds the logits: the only one, or of several the one that ``mlm:output`` names."""
    named = bundle.file.outputs[0].name
    if len(outputs) > 1 and named not in outputs:
        raise ValueError(f"it has the outputs {', '.join(outputs)}, and mlm:output names {named}, none of them")
    return outputs[0] if len(outputs) == 1 else str(named)
