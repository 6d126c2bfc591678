"""What the QGIS plugin deepness reads in an ONNX file, and how it feeds the network.

Source: https://github.com/PUTvision/qgis-plugin-deepness, version 0.6.5, ``processing/models/model_base.py`` and
``processing/map_processor/map_processor_segmentation.py``. Each property is JSON. deepness divides pixels by 255, then
subtracts the mean and divides by the standard deviation; of the output it takes the largest channel. It needs a fixed
height and width.
"""

import json
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from geoseg.exporter.affine import as_affine
from geoseg.model.bundle.bundle import Bundle

DIVISOR = 255.0
"""deepness divides all pixels by this."""


def can_scale(bundle: Bundle) -> bool:
    """Return whether deepness can do the bundle's scaling, as a mean and a standard deviation."""
    return as_affine(bundle.file.scaling, len(bundle.bands)) is not None


def properties(bundle: Bundle) -> dict[str, str]:
    """The properties of deepness for a network that returns probabilities.

    Without a mean, the network takes pixels divided by 255.
    """
    overlap = round(100 * bundle.overlap_px / bundle.patch_px)
    values: dict[str, object] = {
        "model_type": "Segmentor",
        "class_names": dict(enumerate(bundle.legend.names)),
        # The manual names the first, the plugin reads the second.
        "tiles_size": bundle.patch_px,
        "tile_size": bundle.patch_px,
        "tiles_overlap": overlap,
        # A threshold would make the first class of all pixels below it, and a median filter would smooth the map.
        "seg_thresh": 0.0,
        "seg_small_segment": 0,
    }
    if bundle.file.pixel_m is not None:
        values["resolution"] = 100 * bundle.file.pixel_m
    if (affine := as_affine(bundle.file.scaling, len(bundle.bands))) is not None:
        values["standardization_mean"] = (affine.zero / DIVISOR).tolist()
        values["standardization_std"] = (1 / (DIVISOR * affine.scale)).tolist()
    return {key: json.dumps(value, ensure_ascii=False) for key, value in values.items()}


def prepare(pixels: NDArray[np.float32], found: Mapping[str, str]) -> NDArray[np.float32]:
    """Scale pixels as deepness does.

    Args:
        pixels: Raw pixels, shape (N, C, H, W).
        found: The properties of the file.
    """
    divided = (pixels * (1.0 / DIVISOR)).astype(np.float32)
    if "standardization_mean" not in found:
        return divided
    mean, deviation = (
        np.array(json.loads(found[f"standardization_{name}"]), np.float32)[:, None, None] for name in ("mean", "std")
    )
    return ((divided - mean) / deviation).astype(np.float32)
