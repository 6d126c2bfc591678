"""Small handmade ONNX models with common shapes."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tests.support.bundles import save_onnx


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
