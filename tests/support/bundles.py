"""Bundles for tests and benchmarks."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import safetensors.torch
import torch
from onnx import TensorProto, helper, numpy_helper

from geoseg.model.bundle.bundle import read_bundle
from geoseg.model.zoo.architectures import build
from geoseg.model.zoo.unet import UNet

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
    output_channels_last: bool | None = None,
    output_px: int | None = None,
    **more: Any,
) -> dict[str, Any]:
    """The content of a model.json."""
    bands = [f"band{i + 1}" for i in range(bands)] if isinstance(bands, int) else list(bands)
    classes = [f"class{i}" for i in range(classes)] if isinstance(classes, int) else list(classes)

    def tensor(channels: int, name: str, size: int, last: bool = channels_last) -> dict[str, Any]:
        shape, order = [-1, channels, size, size], ["batch", name, "height", "width"]
        if last:
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
                "result": tensor(
                    len(classes),
                    "classes",
                    patch_px if output_px is None else output_px,
                    channels_last if output_channels_last is None else output_channels_last,
                ),
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
    *,
    bands: Any,
    classes: Any,
    seed: int = 0,
    arguments: dict[str, Any] | None = None,
    **properties: Any,
) -> Path:
    """A bundle of geoseg's own U-Net with random weights."""
    model = describe_model(bands, classes, **properties)
    counts = {"in_channels": len(model["mlm:input"][0]["bands"]), "classes": len(_classes(model))}
    model["geoseg:arguments"] = {**counts, **(arguments or {})}
    torch.manual_seed(seed)
    network = build("unet", model["geoseg:arguments"])
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # untrained statistics would make it a no-op
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 1.5)
    with torch.no_grad():  # no class may win everywhere: most tests would then see one polygon
        network.eval().head.bias -= network(10 * torch.randn(1, counts["in_channels"], 64, 64)).mean((0, 2, 3))
    return _save(folder, network, model)


def save_weights(
    folder: Path, network: torch.nn.Module, architecture: str, arguments: dict[str, Any], **properties: Any
) -> Path:
    """A bundle of the weights of any network of the zoo."""
    model = describe_model(arguments["in_channels"], arguments["classes"], **properties)
    return _save(folder, network, {**model, "mlm:architecture": architecture, "geoseg:arguments": arguments})


def _save(folder: Path, network: torch.nn.Module, model: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_model(network, str(folder / "weights.safetensors"))
    (folder / "model.json").write_text(json.dumps(model))
    return folder


def unet_bundle(folder: Path, bands: Any = 4, classes: Any = 5, seed: int = 0, **properties: Any) -> Path:
    """A small U-Net with random weights whose classes depend on what is around a pixel."""
    arguments = {"width": 8, "depth": 2}
    properties = {"size_multiple": 4, "scaling": [{"type": "z-score", "mean": 1500, "stddev": 80}], **properties}
    return write_bundle(folder, bands=bands, classes=classes, seed=seed, arguments=arguments, **properties)


def identity_bundle(folder: Path, classes: int = 6, **properties: Any) -> Path:
    """The input's first band, rounded, is the class; the model returns probabilities 0 and 1."""
    nodes = [
        helper.make_node("Round", ["pixels"], ["rounded"]),
        helper.make_node("Clip", ["rounded", "lowest", "highest"], ["clipped"]),
        helper.make_node("Cast", ["clipped"], ["numbers"], to=TensorProto.INT64),
        helper.make_node("Squeeze", ["numbers", "channels"], ["ids"]),
        helper.make_node("OneHot", ["ids", "count", "off_on"], ["classes"], axis=1),
    ]
    values = {
        "lowest": np.float32(0), "highest": np.float32(classes - 1), "channels": np.array([1]),
        "count": np.array([classes]), "off_on": np.array([0, 1], np.float32),
    }  # fmt: skip
    return save_onnx(folder, nodes, _constants(values), 1, classes, **{"activation": "none", **properties})


def constant_bundle(folder: Path, bands: int, classes: int, **properties: Any) -> Path:
    """The same logits for every pixel, at next to no cost; the first class wins. NHWC in, so that nothing is copied."""
    nodes = [
        helper.make_node("Shape", ["pixels"], ["batch"], start=0, end=1),
        helper.make_node("Shape", ["pixels"], ["sides"], start=1, end=3),
        helper.make_node("Concat", ["batch", "channels", "sides"], ["shape"], axis=0),
        helper.make_node("Expand", ["logits", "shape"], ["classes"]),
    ]
    logits = np.linspace(1, 0, classes, dtype=np.float32).reshape(1, classes, 1, 1)
    constants = _constants({"channels": np.array([classes]), "logits": logits})
    order = {"channels_last": True, "output_channels_last": False}
    return save_onnx(folder, nodes, constants, bands, classes, **order, **properties)


def save_onnx(
    folder: Path,
    nodes: Sequence[onnx.NodeProto],
    constants: Sequence[onnx.TensorProto],
    bands: int,
    classes: int,
    *,
    channels_last: bool = False,
    batch: int | str = "n",
    **properties: object,
) -> Path:
    """Write the graph from ``pixels`` to ``classes`` as a bundle."""

    def value(name: str, channels: int) -> onnx.ValueInfoProto:
        shape = [batch, "h", "w", channels] if channels_last else [batch, channels, "h", "w"]
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    output = onnx.ValueInfoProto()
    output.name = "classes"
    output.type.tensor_type.elem_type = TensorProto.FLOAT
    graph = helper.make_graph(nodes, "test", [value("pixels", bands)], [output], list(constants))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / "model.onnx")
    named = properties.pop("class_count", classes)
    text = describe_model(bands, named, channels_last=channels_last, **{"geoseg:artifact": "model.onnx", **properties})
    text["mlm:framework"] = "onnx"
    (folder / "model.json").write_text(json.dumps(text))
    return folder


def _constants(values: dict[str, Any]) -> list[onnx.TensorProto]:
    return [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()]


def _classes(model: dict[str, Any]) -> list[Any]:
    return model["mlm:output"][0]["classification:classes"]


def random_unet(width: int = 8, depth: int = 3) -> UNet:
    """A U-Net for 4 bands and 5 classes with random weights and statistics of its normalisation."""
    torch.manual_seed(0)
    module = UNet(4, 5, width=width, depth=depth)
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.uniform_(-1, 1)
            layer.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(layer.weight, 0.5, 2)
            torch.nn.init.uniform_(layer.bias, -1, 1)
    return module.eval()


def trained_network(bundle: Path) -> torch.nn.Module:
    """The network of a bundle with weights as it was trained: no layer folded or joined."""
    found = read_bundle(bundle)
    module = build(found.file.architecture, found.file.arguments)
    module.load_state_dict(safetensors.torch.load_file(found.artifact))
    return module.eval()
