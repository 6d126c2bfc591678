"""Let torchvision be imported beside a torch that its compiled operators do not fit.

PyPI's torchvision is built for CUDA. Beside a CPU build of torch its operators cannot be loaded, and ``import
torchvision`` fails with "operator torchvision::nms does not exist", and with it timm, segmentation-models-pytorch and
parts of transformers. None of their segmentation networks uses these operators.
"""

import importlib.util
from functools import cache
from pathlib import Path

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
"""The operators that torchvision describes for tracing whether or not they were loaded."""


@cache
def prepare_torchvision() -> torch.library.Library | None:
    """Declare torchvision's operators if its library cannot be loaded; call it before the first import of torchvision.

    Returns:
        The declarations, which live as long as the value; None if they are not needed.
    """
    found = importlib.util.find_spec("torchvision")
    if found is None or found.origin is None or _loads(Path(found.origin).parent):
        return None
    declared = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for schema in _SCHEMAS:
        declared.define(schema)  # type: ignore[no-untyped-call]
    return declared


def _loads(folder: Path) -> bool:
    """Load the operators as torchvision does; return whether they are there."""
    for library in folder.glob("_C*.so"):
        try:
            torch.ops.load_library(library)  # type: ignore[no-untyped-call]
        except OSError:
            continue
    return hasattr(torch.ops.torchvision, "nms")
