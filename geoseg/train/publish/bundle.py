"""Write a trained network as a bundle with a model card."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import nn

from geoseg import __version__
from geoseg.errors import OutputError
from geoseg.grid.legend import Legend, LegendClass
from geoseg.model.bundle.files import MODEL_FILE
from geoseg.train_settings import TrainSettings

CARD = "README.md"
PALETTE = ("3A7BD5", "1E6B2E", "E8C34A", "8BC34A", "C0392B", "B59F84", "FFFFFF", "9B59B6", "00BCD4", "FF9800")
"""Colours of classes without one of their own."""


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """What a bundle needs to know of a trained network."""

    name: str
    bands: tuple[str, ...]
    arguments: Mapping[str, Any]
    mean: Sequence[float]
    """Means of the bands, by which pixels are scaled."""
    deviation: Sequence[float]
    """Standard deviations of the bands."""
    pixel_m: float | None
    """Side of a pixel in metres."""
    size_multiple: int


def legend_of(settings: TrainSettings) -> Legend:
    """Legend of the classes with their colours."""
    colours = (entry.color or PALETTE[place % len(PALETTE)] for place, entry in enumerate(settings.classes))
    rgb = [bytes.fromhex(colour.lstrip("#")) for colour in colours]
    entries = zip(settings.classes, rgb, strict=True)
    return Legend(
        tuple(LegendClass(id_, entry.name, (rgb[0], rgb[1], rgb[2])) for id_, (entry, rgb) in enumerate(entries))
    )


def write_trained_bundle(
    folder: Path, network: nn.Module, model: TrainedModel, settings: TrainSettings, card: str
) -> None:
    """Write ``model.json``, ``weights.safetensors`` and the model card.

    Raises:
        OutputError: If a file cannot be written.
    """
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    document = _document(sum(one.numel() for one in network.parameters()), model, settings)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MODEL_FILE).unlink(missing_ok=True)  # written last: a folder without it is no bundle
        (folder / "weights.safetensors").write_bytes(safetensors.torch.save(weights))
        (folder / CARD).write_text(card, "utf-8")
        (folder / MODEL_FILE).write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", "utf-8")
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be written: {error.strerror or error}. The checkpoint is kept: make room, then run the "
            "same command again."
        ) from error


def _document(parameters: int, model: TrainedModel, settings: TrainSettings) -> dict[str, Any]:
    side, bands = settings.data.patch_px, list(model.bands)
    classes = [
        {"value": entry.id, "name": entry.name, "color_hint": bytes(entry.color).hex().upper()}
        for entry in legend_of(settings).classes
    ]

    def tensor(channels: int, word: str) -> dict[str, Any]:
        return {
            "shape": [-1, channels, side, side],
            "dim_order": ["batch", word, "height", "width"],
            "data_type": "float32",
        }

    document = {
        "mlm:name": model.name,
        "mlm:architecture": settings.network.architecture,
        "mlm:framework": "pytorch",
        "mlm:tasks": ["semantic-segmentation"],
        "mlm:total_parameters": parameters,
        "mlm:input": [{"name": "pixels", "bands": bands, "input": tensor(len(bands), "bands")}],
        "mlm:output": [
            {
                "name": "classes",
                "tasks": ["semantic-segmentation"],
                "result": tensor(len(classes), "classes"),
                "classification:classes": classes,
            }
        ],
        "geoseg:artifact": "weights.safetensors",
        "geoseg:arguments": dict(model.arguments),
        "geoseg:scaling": [{"type": "z-score", "mean": list(model.mean), "stddev": list(model.deviation)}],
        "geoseg:nodata_fill": 0.0,
        "geoseg:overlap_px": side // 4,
        "geoseg:size_multiple": model.size_multiple,
        "geoseg:activation": "softmax",
        "processing:lineage": f"trained by geoseg {__version__}",
    }
    if model.pixel_m is not None:
        document["gsd"] = model.pixel_m
    if settings.license is not None:
        document["license"] = settings.license
    return document
