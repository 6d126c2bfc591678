"""The architectures that a bundle may name in ``mlm:architecture``."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import nn

from geoseg.explain import shown
from geoseg.model.zoo.architecture import COMMON, Architecture, whole_number
from geoseg.model.zoo.deeplab_v1 import DeepLabV1
from geoseg.model.zoo.extra import NETWORK_NAME
from geoseg.model.zoo.fastfcn import FastFCN
from geoseg.model.zoo.fcn import FCN
from geoseg.model.zoo.lenet import LeNet
from geoseg.model.zoo.segmenter import Segmenter
from geoseg.model.zoo.segnet import SegNet
from geoseg.model.zoo.smp import SMP
from geoseg.model.zoo.unet import UNet

_VGG = {**COMMON, "width": whole_number(128)}

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
        Architecture("fcn32s", "Long et al. 2015, arXiv:1411.4038", partial(FCN, stride=32), _VGG, 32, fuses_relu=True),
        Architecture("fcn16s", "Long et al. 2015, arXiv:1411.4038", partial(FCN, stride=16), _VGG, 32),
        Architecture("fcn8s", "Long et al. 2015, arXiv:1411.4038", partial(FCN, stride=8), _VGG, 32),
        Architecture("segnet", "Badrinarayanan et al. 2015, arXiv:1511.00561", SegNet, _VGG, 32, fuses_relu=True),
        Architecture("deeplab-v1", "Chen et al. 2014, arXiv:1412.7062", DeepLabV1, _VGG, 8, fuses_relu=True),
        Architecture("fastfcn", "Wu et al. 2019, arXiv:1903.11816", FastFCN, _VGG, 32),
        Architecture(
            "segmenter",
            "Strudel et al. 2021, arXiv:2105.05633",
            Segmenter,
            {**COMMON, "encoder_name": NETWORK_NAME, "decoder_layers": whole_number(12)},
            16,
            needs_extra=True,
        ),
        Architecture(
            "lenet", "LeCun et al. 1998, doi:10.1109/5.726791", LeNet, {**COMMON, "width": whole_number(128)}, 4
        ),
        *SMP,
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
            raise ValueError(f"geoseg:arguments {argument}={shown(value)} is not {limit.text}. Correct it.")
    unknown = [argument for argument in arguments if argument not in architecture.limits]
    if unknown:
        raise ValueError(_misfit(name, arguments, f"it has {', '.join(architecture.limits)}, and no {unknown}"))
    try:
        return architecture.builder(**arguments)
    except (TypeError, ValueError) as error:
        raise ValueError(_misfit(name, arguments, error)) from error


def _misfit(name: str, arguments: Mapping[str, Any], reason: object) -> str:
    return f"geoseg:arguments {dict(arguments)} do not fit mlm:architecture {name!r}: {reason}. Correct them."
