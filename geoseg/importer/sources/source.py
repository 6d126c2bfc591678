"""What a reader makes of a file or a folder: a network and the facts that stand beside it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from geoseg.importer.facts.facts import Facts

Forward = Callable[[Tensor], Tensor]
"""The original network: scaled pixels, float32 of shape (N, C, H, W), to its output, shape (N, K, h, w)."""


@dataclass(frozen=True)
class Request:
    """What a reader may need from the command line."""

    path: Path
    """The file or folder to import."""
    architecture: str | None = None
    """Class of segmentation-models-pytorch, in any case, for weights that do not name their network."""
    encoder: str | None = None
    """Name of its encoder."""
    trust_code: bool = False
    """Permission to load what can run code."""
    channels_last: bool | None = None
    """Where an ONNX file has its bands, if its shape does not tell: True for NHWC."""
    scaling_given: bool = False
    """Whether the user gives the scaling, so that the source's own is not needed."""


@dataclass(frozen=True)
class OnnxFile:
    """A network that is ONNX already."""

    path: Path
    channels_last: bool
    """True for NHWC."""
    output: str | None
    """Name of the output with the classes, if there are several."""
    files: Mapping[str, Path]
    """Files with its weights, by the names in the model."""


@dataclass(frozen=True)
class Source:
    """A network of another library."""

    kind: str
    """What was recognised, such as ``transformers, SegformerForSemanticSegmentation``."""
    facts: Facts
    forward: Forward
    """The original network."""
    network: torch.nn.Module | None = None
    """The same as a module in inference mode, which can be exported. None for ONNX."""
    onnx: OnnxFile | None = None
    program: Path | None = None
    """A file that geoseg can load itself with permission: ``.pt2`` or TorchScript."""
    zoo: tuple[str, Mapping[str, Any]] | None = None
    """Name and arguments of the same network in `geoseg.model.zoo`, whose weights are those of ``network``."""
    left_out: tuple[str, ...] = ()
    """Names of weights that belong to the training alone, such as class weights of a loss."""
    notes: tuple[str, ...] = ()
    """What the user should know of the source, in sentences."""


def run_module(network: torch.nn.Module) -> Forward:
    """The forward pass of a module, without gradients; of several outputs, the first."""

    def forward(pixels: Tensor) -> Tensor:
        with torch.inference_mode():
            output = network(pixels)
        return output[0] if isinstance(output, tuple | list) else output  # type: ignore[no-any-return]

    return forward
