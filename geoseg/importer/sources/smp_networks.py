"""Build networks of segmentation-models-pytorch, with the numbers of bands and classes that the weights have."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from geoseg.errors import SettingsError
from geoseg.importer.sources.weights import load_strictly, without_prefix
from geoseg.model.zoo import smp as zoo

CLASSES = (
    *("Unet", "UnetPlusPlus", "MAnet", "Linknet", "FPN", "PSPNet", "DeepLabV3", "DeepLabV3Plus", "PAN", "UPerNet"),
    *("Segformer", "DPT"),
)
"""Names of the networks, as in ``smp.Unet``."""


def find_class(name: str, said_by: str) -> str:
    """The class for a name in any case, also with the signs of ``deeplabv3+``.

    Raises:
        SettingsError: If segmentation-models-pytorch has no such network.
    """
    plain = name.lower().replace("+", "plus").replace("_", "").replace("-", "")
    for known in CLASSES:
        if known.lower() == plain:
            return known
    raise SettingsError(
        f"{said_by} names the network {name!r}, and segmentation-models-pytorch has {', '.join(CLASSES)}. If it is "
        "another network, export it to ONNX (torch.onnx.export) and import that."
    )


def build_smp(name: str, arguments: Mapping[str, Any], said_by: str) -> torch.nn.Module:
    """Build a network without weights; nothing is downloaded.

    Args:
        name: Class of segmentation-models-pytorch, one of `CLASSES`.
        arguments: Arguments of the class; ``encoder_weights`` is ignored.
        said_by: File or option that names them, for messages.

    Raises:
        SettingsError: If the library is not installed or refuses the arguments.
    """
    try:
        return zoo.build_smp(name, {}, **arguments).eval()
    except ValueError as error:
        used = {key: value for key, value in arguments.items() if value is not None}
        raise SettingsError(
            f"{said_by}: segmentation-models-pytorch cannot build {name} with {used}: {error}. Correct the names and "
            "numbers there."
        ) from error


def load_smp(
    name: str, arguments: Mapping[str, Any], weights: Mapping[str, Tensor], path: Path, said_by: str
) -> torch.nn.Module:
    """Build a network and load weights into it; each must have its place.

    Raises:
        SettingsError: If the network cannot be built, or the weights are others.
    """
    network = build_smp(name, arguments, said_by)
    return load_strictly(network, without_prefix(weights, "encoder."), path)


def count_channels(
    name: str, arguments: Mapping[str, Any], weights: Mapping[str, Tensor], path: Path, said_by: str
) -> tuple[int, int]:
    """Numbers of bands and classes of weights: the sizes that change when the network is built with others.

    Raises:
        SettingsError: If the network cannot be built, or the weights lack the layers.
    """
    counts = []
    for argument, axis in (("in_channels", 1), ("classes", 0)):
        with torch.device("meta"):
            few, more = (build_smp(name, {**arguments, argument: count}, said_by).state_dict() for count in (3, 4))
        layer = next(key for key, tensor in few.items() if tensor.shape != more[key].shape)
        if layer not in weights:
            raise SettingsError(
                f"{path} has no weights {layer!r}, which {name} with this encoder has. Correct --arch and --encoder."
            )
        counts.append(weights[layer].shape[axis] if weights[layer].ndim else 0)
    return counts[0], counts[1]
