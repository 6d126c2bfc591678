"""Bundles for tests and benchmarks."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from geoseg.model.architectures import build
from geoseg.model.bundle.bundle import read_bundle

PALETTE = ["3A7BD5", "1E6B2E", "E8C34A", "8BC34A", "C0392B", "B59F84", "FFFFFF", "9B59B6", "00BCD4", "FF9800"]


def describe_model(
    bands: Sequence[str] | int,
    classes: Sequence[str] | int,
    *,
    patch_px: int = 32,
    overlap_px: int | None = 8,
    activation: str = "softmax",
    size_multiple: int = 1,
    scaling: Sequence[dict[str, Any]] = (),
    nodata_fill: float = 0.0,
    channels_last: bool = False,
    output_px: int | None = None,
    **more: Any,
) -> dict[str, Any]:
    """The content of a model.json."""
    bands = [f"band{i + 1}" for i in range(bands)] if isinstance(bands, int) else list(bands)
    classes = [f"class{i}" for i in range(classes)] if isinstance(classes, int) else list(classes)

    def tensor(channels: int, name: str, size: int) -> dict[str, Any]:
        shape, order = [-1, channels, size, size], ["batch", name, "height", "width"]
        if channels_last:
            shape, order = [-1, size, size, channels], ["batch", "height", "width", name]
        return {"shape": shape, "dim_order": order, "data_type": "float32"}

    return {
        "mlm:name": "test-model",
        "mlm:architecture": "unet",
        "mlm:framework": "pytorch",
        "mlm:tasks": ["semantic-segmentation"],
        "mlm:input": [{"name": "pixels", "bands": bands, "input": tensor(len(bands), "bands", patch_px)}],
        "mlm:output": [
            {
                "name": "classes",
                "tasks": ["semantic-segmentation"],
                "result": tensor(len(classes), "classes", patch_px if output_px is None else output_px),
                "classification:classes": [
                    {"value": i, "name": name, "color_hint": PALETTE[i % len(PALETTE)]}
                    for i, name in enumerate(classes)
                ],
            }
        ],
        "geoseg:artifact": "weights.safetensors",
        "geoseg:scaling": list(scaling),
        "geoseg:nodata_fill": nodata_fill,
        "geoseg:overlap_px": overlap_px,
        "geoseg:size_multiple": size_multiple,
        "geoseg:activation": activation,
        **more,
    }


def write_bundle(
    folder: Path,
    architecture: str,
    *,
    bands: Any,
    classes: Any,
    seed: int = 0,
    arguments: dict[str, Any] | None = None,
    **properties: Any,
) -> Path:
    """A bundle of one of geoseg's own architectures with random weights."""
    model = describe_model(bands, classes, **properties)
    counts = {"in_channels": len(model["mlm:input"][0]["bands"]), "classes": len(_classes(model))}
    model["mlm:architecture"] = architecture
    model["geoseg:arguments"] = {**counts, **(arguments or {})}
    torch.manual_seed(seed)
    network = build(architecture, model["geoseg:arguments"])
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # untrained statistics would make it a no-op
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 1.5)
    if architecture == "unet":
        with torch.no_grad():  # no class may win everywhere: most tests would then see one polygon
            network.eval().head.bias -= network(10 * torch.randn(1, counts["in_channels"], 64, 64)).mean((0, 2, 3))
    folder.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file(network.state_dict(), folder / "weights.safetensors")
    (folder / "model.json").write_text(json.dumps(model))
    return folder


def identity_bundle(folder: Path, classes: int = 6, **properties: Any) -> Path:
    """The input's first band is the class."""
    return write_bundle(folder, "identity", bands=1, classes=classes, **{"activation": "none", **properties})


def unet_bundle(folder: Path, bands: Any = 4, classes: Any = 5, seed: int = 0, **properties: Any) -> Path:
    """A small U-Net with random weights whose classes depend on what is around a pixel."""
    arguments = {"width": 8, "depth": 2}
    properties = {"size_multiple": 4, "scaling": [{"type": "z-score", "mean": 1500, "stddev": 80}], **properties}
    return write_bundle(folder, "unet", bands=bands, classes=classes, seed=seed, arguments=arguments, **properties)


def _classes(model: dict[str, Any]) -> list[Any]:
    return model["mlm:output"][0]["classification:classes"]


def trained_network(bundle: Path) -> torch.nn.Module:
    """The network of a bundle with weights as it was trained: no layer folded or joined."""
    found = read_bundle(bundle)
    module = build(found.file.architecture, found.file.arguments)
    module.load_state_dict(safetensors.torch.load_file(found.artifact))
    return module.eval()
