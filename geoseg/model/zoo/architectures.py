"""The architectures that a bundle may name in ``mlm:architecture``."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from geoseg.model.zoo.architecture import COMMON, Architecture, whole_number
from geoseg.model.zoo.unet import UNet

ARCHITECTURES: Mapping[str, Architecture] = {
    entry.name: entry
    for entry in (
        Architecture(
            "unet",
            "Ronneberger et al. 2015, arXiv:1505.04597",
            UNet,
            {**COMMON, "width": whole_number(1024), "depth": whole_number(8)},
            size_multiple=16,
            fuses_relu=True,
        ),
    )
}
"""All architectures by their name."""


def build(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Build a network with fresh weights.

    Returns:
        A module with the attribute ``size_multiple``: sides of its input must be multiples of it.

    Raises:
        ValueError: If the name is unknown or the arguments do not fit it.
    """
    if name not in ARCHITECTURES:
        raise ValueError(
            f"mlm:architecture {name!r} is none of geoseg's own ({', '.join(ARCHITECTURES)}), and a file of "
            "weights holds no network. Export the network itself, torch.onnx.export(network, pixels, 'model.onnx'), "
            'and write "geoseg:artifact": "model.onnx".'
        )
    architecture = ARCHITECTURES[name]
    for argument, value in arguments.items():
        limit = architecture.limits.get(argument)
        if limit is not None and not limit.accepts(value):
            raise ValueError(f"geoseg:arguments {argument}={value!r} is not {limit.text}. Correct it.")
    unknown = [argument for argument in arguments if argument not in architecture.limits]
    if unknown:
        raise ValueError(_misfit(name, arguments, f"it has {', '.join(architecture.limits)}, and no {unknown}"))
    try:
        return architecture.builder(**arguments)
    except TypeError as error:
        raise ValueError(_misfit(name, arguments, error)) from error


def _misfit(name: str, arguments: Mapping[str, Any], reason: object) -> str:
    return f"geoseg:arguments {dict(arguments)} do not fit mlm:architecture {name!r}: {reason}. Correct them."
