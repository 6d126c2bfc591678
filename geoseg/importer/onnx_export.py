"""Export a network to ONNX and compare the result with it."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import onnx
import onnxruntime
import torch
from torch import Tensor

from geoseg.importer.sources.source import Forward
from geoseg.model.network import one_line

OPSET = 17
TOLERANCE = 1e-3
"""Of logits of another size or batch, relative to the largest."""
SILENT = 4
"""Log level of onnxruntime: errors are exceptions."""


def export_onnx(network: torch.nn.Module, bands: int, side: int, artifact: Path, *, free: bool) -> str | None:
    """Export a network with a free batch size.

    Args:
        network: In inference mode, NCHW.
        bands: Number of bands.
        side: Side of the patch that is traced.
        artifact: The file to write.
        free: Whether height and width are free, too.

    Returns:
        Why it failed; None if it worked.
    """
    axes = {0: "batch", 2: "height", 3: "width"} if free else {0: "batch"}
    pixels = torch.randn((1, bands, side, side), generator=torch.Generator().manual_seed(0))
    try:
        trace_onnx(network, pixels, artifact, axes)
        onnx.checker.check_model(str(artifact))
    except Exception as error:  # any error of the exporter  # noqa: BLE001
        return one_line(error)
    return None


def trace_onnx(
    network: torch.nn.Module, pixels: Tensor, artifact: Path, axes: Mapping[int, str], opset: int = OPSET
) -> None:
    """Trace a network from ``pixels`` to ``classes``.

    Args:
        network: In inference mode.
        pixels: An example of its input.
        artifact: The file to write.
        axes: Names of the free axes of input and output.
        opset: Version of the operators.

    Raises:
        Exception: Of any type, if it cannot be exported.
    """
    with _quiet():
        torch.onnx.export(
            network,
            (pixels,),
            str(artifact),
            dynamo=False,
            opset_version=opset,
            input_names=["pixels"],
            output_names=["classes"],
            dynamic_axes={"pixels": dict(axes), "classes": dict(axes)},
        )


def agrees(original: Forward, artifact: Path, bands: int, sides: tuple[int, int]) -> bool:
    """Return whether an export gives the original's output, for two patches of the first side and one of the other."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = SILENT
    generator = torch.Generator().manual_seed(1)
    try:
        session = onnxruntime.InferenceSession(str(artifact), options, providers=["CPUExecutionProvider"])
        for count, side in zip((2, 1), sides, strict=True):
            pixels = torch.randn((count, bands, side, side), generator=generator)
            expected = original(pixels)
            (found,) = session.run(None, {"pixels": pixels.numpy()})
            if found.shape != tuple(expected.shape) or difference(torch.from_numpy(found), expected) > TOLERANCE:
                return False
    except Exception:  # either does not take this size  # noqa: BLE001
        return False
    return True


def difference(found: Tensor, expected: Tensor) -> float:
    """Largest difference, relative to the largest value."""
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-6))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings of the tracer: `agrees` tests what they warn of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
