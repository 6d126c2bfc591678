"""Run ``model.onnx`` with onnxruntime, without copying batches from their device."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime
import torch
from onnxruntime.capi import onnxruntime_pybind11_state as onnx_errors
from torch import Tensor

from geoseg.errors import SettingsError
from geoseg.model.bundle.axis_order import AxisOrder
from geoseg.model.bundle.bundle import Bundle
from geoseg.model.bundle.files import MODEL_FILE
from geoseg.model.bundle.onnx_file import read_weights
from geoseg.model.finite import require_finite

ERRORS: tuple[type[Exception], ...] = (
    RuntimeError,
    *(kind for kind in vars(onnx_errors).values() if isinstance(kind, type) and issubclass(kind, Exception)),
)
"""Errors of onnxruntime, which have no common base class."""
OUT_OF_MEMORY = re.compile(r"failed to allocate|out of memory|ALLOC_FAILED|bad.?alloc", re.IGNORECASE)
"""Messages of onnxruntime, CUDA, cuDNN and C++; the type of the error is the same as for other errors."""
SILENT = 4
"""Log level of fatal errors. Other errors are raised as exceptions."""
CUDA_OPTIONS = {
    # An algorithm chosen by timing may differ between runs and change the last bits; TF32 changes them as well.
    "cudnn_conv_algo_search": "DEFAULT",
    "use_tf32": "0",
    # By default memory grows in powers of two, and the memory of a batch cannot be measured.
    "arena_extend_strategy": "kSameAsRequested",
}


class OnnxNetwork:
    """A session of onnxruntime."""

    dtype = torch.float32

    def __init__(
        self, bundle: Bundle, artifact: bytes, files: Mapping[str, bytes], device: torch.device, threads: int
    ) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.use_deterministic_compute = True
        options.log_severity_level = SILENT
        onnxruntime.set_default_logger_severity(SILENT)  # for messages before the session has a logger
        self._device, self._axes = device, AxisOrder(bundle)
        provider = _choose_provider(bundle, device)
        artifact, weights = read_weights(artifact, files, bundle.artifact)
        require_finite(((name, torch.from_numpy(array)) for name, array in weights), masks=True)
        self.free_bytes = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None
        beside = {name: content for name, content in files.items() if name not in (bundle.file.artifact, MODEL_FILE)}
        if beside:
            sizes = [len(content) for content in beside.values()]
            options.add_external_initializers_from_files_in_memory(list(beside), list(beside.values()), sizes)
        self._session = onnxruntime.InferenceSession(artifact, options, providers=[provider])
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            raise ValueError(f"it has {len(inputs)} inputs ({', '.join(i.name for i in inputs)}), geoseg feeds one")
        if inputs[0].type != "tensor(float)":
            raise ValueError(f"its input is a {inputs[0].type}, geoseg feeds tensor(float): export it in float32")
        self._input = inputs[0].name
        batch = inputs[0].shape[0] if inputs[0].shape else None
        self.fixed_batch: int | None = batch if isinstance(batch, int) else None
        self._output = _only_or_named([output.name for output in self._session.get_outputs()], bundle)

    def __call__(self, batch: Tensor) -> Tensor:
        """Run the forward pass, see `geoseg.model.predictor.Network`.

        Raises:
            torch.OutOfMemoryError: If onnxruntime's own allocator has no memory left.
        """
        given = self._axes.to_model(batch)
        place = given.device.type, given.device.index or 0
        binding = self._session.io_binding()
        binding.bind_input(self._input, *place, np.float32, tuple(given.shape), given.data_ptr())
        binding.bind_output(self._output, *place)
        if given.is_cuda:  # onnxruntime uses its own stream
            torch.cuda.current_stream(given.device).synchronize()
        try:
            self._session.run_with_iobinding(binding)
        except ERRORS as error:
            if OUT_OF_MEMORY.search(str(error)):
                raise torch.OutOfMemoryError(str(error)) from error
            raise
        binding.synchronize_outputs()
        output: Tensor = torch.from_dlpack(binding.get_outputs()[0])  # type: ignore[attr-defined]
        return self._axes.from_model(output).float()


def _choose_provider(bundle: Bundle, device: torch.device) -> str | tuple[str, dict[str, Any]]:
    name = "CUDAExecutionProvider" if device.type == "cuda" else "CPUExecutionProvider"
    available = onnxruntime.get_available_providers()
    if name not in available:
        raise SettingsError(
            f"device=cuda needs onnxruntime's {name} for {bundle.artifact}, and the installed onnxruntime has only "
            f"{available}. Install onnxruntime-gpu or set run.device=cpu."
        )
    return (name, {**CUDA_OPTIONS, "device_id": device.index or 0}) if device.type == "cuda" else name


def _only_or_named(outputs: list[str], bundle: Bundle) -> str:
    """The output with the logits: the only one, or the one that ``mlm:output`` names."""
    named = bundle.file.outputs[0].name
    if len(outputs) > 1 and named not in outputs:
        raise ValueError(f"it has the outputs {', '.join(outputs)}, and mlm:output names {named}, none of them")
    return outputs[0] if len(outputs) == 1 else str(named)
