"""Small handmade ONNX models with common shapes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.support.bundles import describe_model


def linear_onnx(
    folder: Path,
    matrix: np.ndarray,
    *,
    channels_last: bool = False,
    shrink: int = 1,
    batch: int | str = "n",
    **properties: Any,
) -> Path:
    """A bundle whose model.onnx multiplies each pixel's bands with ``matrix`` (classes, bands).

    Args:
        folder: The bundle.
        matrix: float32; one row a class.
        channels_last: NHWC in and out, as models from TensorFlow.
        shrink: The output is this much smaller on each side (average pooling).
        batch: Size of the first dimension, or a name for any.
        properties: As for `describe_model`.
    """
    classes, bands = matrix.shape
    kernel = numpy_helper.from_array(matrix.astype(np.float32).reshape(classes, bands, 1, 1), "kernel")
    nodes: list[onnx.NodeProto] = []
    x = "pixels"
    if channels_last:
        nodes.append(helper.make_node("Transpose", [x], ["nchw"], perm=[0, 3, 1, 2]))
        x = "nchw"
    nodes.append(helper.make_node("Conv", [x, "kernel"], ["conv"]))
    x = "conv"
    if shrink > 1:
        size = [shrink, shrink]
        nodes.append(helper.make_node("AveragePool", [x], ["pooled"], kernel_shape=size, strides=size))
        x = "pooled"
    if channels_last:
        nodes.append(helper.make_node("Transpose", [x], ["classes"], perm=[0, 2, 3, 1]))
    else:
        nodes.append(helper.make_node("Identity", [x], ["classes"]))
    size = properties.get("patch_px", 32)
    properties = {"output_px": size // shrink if shrink > 1 else None, **properties}
    return save_onnx(folder, nodes, [kernel], bands, classes, channels_last=channels_last, batch=batch, **properties)


def save_onnx(
    folder: Path,
    nodes: Sequence[onnx.NodeProto],
    constants: Sequence[onnx.TensorProto],
    bands: int,
    classes: int,
    *,
    channels_last: bool,
    batch: int | str,
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
