"""The properties of the STAC MLM extension that describe an exported file.

They have the form in which stac-model keeps them in an archive of torch.export: names without the prefix ``mlm:``.
Keys with the prefix ``geoseg:`` say what MLM has no words for, so that `geoseg models import` asks for nothing.
"""

from collections.abc import Sequence
from typing import Any

from geoseg.exporter.affine import as_affine
from geoseg.model.bundle.bundle import Bundle
from geoseg.model.bundle.scaling import Clip, MinMax, Step, ZScore
from geoseg.model.patchwork.scores import Activation

KEY = "mlm-metadata"
"""Name of the extra file in ``.pt2``, and of the property in ONNX."""
SCHEMA = "https://stac-extensions.github.io/mlm/v1.5.2/schema.json"
TRANSFORMS = "transforms"
"""Name of the program that scales, in ``.pt2``."""
KEPT = ("license", "sci:citation", "sci:doi")


def mlm_metadata(
    bundle: Bundle, steps: Sequence[Step], activation: Activation, parameters: int | None, **format_: str
) -> dict[str, Any]:
    """The metadata.

    Args:
        bundle: The bundle.
        steps: What turns raw pixels into the network's input.
        activation: What turns its output into probabilities.
        parameters: Number of its parameters, if that is known.
        format_: ``framework``, ``artifact_type`` and others that tell how the file is made.
    """
    side, bands, entries = bundle.patch_px, list(bundle.bands), bundle.legend.classes
    taken: dict[str, Any] = {
        "name": "pixels",
        "bands": bands,
        "input": _tensor(len(bands), "bands", side),
        **_scaling(steps, len(bands), in_archive=format_["framework"] == "pytorch"),
    }
    given = {
        "name": "classes",
        "tasks": ["semantic-segmentation"],
        "result": _tensor(len(entries), "classes", side),
        "classification:classes": [
            {"value": one.id, "name": one.name, "color_hint": bytes(one.color).hex().upper()} for one in entries
        ],
    }
    more = bundle.file.model_extra or {}
    properties = {
        "name": bundle.name,
        "architecture": bundle.file.architecture,
        "tasks": ["semantic-segmentation"],
        **format_,
        **({"total_parameters": parameters} if parameters is not None else {}),
        "input": [taken],
        "output": [given],
        **({"gsd": bundle.file.pixel_m} if bundle.file.pixel_m is not None else {}),
        **{key: more[key] for key in KEPT if key in more},
        "geoseg:scaling": [step.model_dump() for step in steps] or [{"type": "affine"}],
        "geoseg:activation": activation,
        "geoseg:overlap_px": bundle.overlap_px,
    }
    return {"$schema": SCHEMA, "properties": properties}


def _tensor(channels: int, word: str, side: int) -> dict[str, Any]:
    return {
        "shape": [-1, channels, side, side],
        "dim_order": ["batch", word, "height", "width"],
        "data_type": "float32",
    }


def _scaling(steps: Sequence[Step], bands: int, *, in_archive: bool) -> dict[str, Any]:
    """The scaling in words of MLM, which has one object for each band; else the program beside the network."""
    if len(steps) == 1 and isinstance(steps[0], ZScore | MinMax | Clip):
        kind, *numbers = steps[0].model_dump().items()
        columns = [value if isinstance(value, list) else [value] * bands for _, value in numbers]
        names = [name for name, _ in numbers]
        rows = zip(*columns, strict=True)
        return {"value_scaling": [dict([kind, *zip(names, row, strict=True)]) for row in rows]}
    if (affine := as_affine(steps, bands)) is not None:
        lowest, spread = affine.zero, 1 / affine.scale
        if not lowest.any() and (spread == 1).all():
            return {}
        pairs = zip(lowest.tolist(), spread.tolist(), strict=True)
        return {"value_scaling": [{"type": "min-max", "minimum": low, "maximum": low + one} for low, one in pairs]}
    if not in_archive:
        return {}
    expression = {"id": TRANSFORMS, "name": TRANSFORMS, "type": "application/octet-stream; framework=pytorch"}
    return {"pre_processing_function": {"format": "torch.export.load", "expression": expression}}
