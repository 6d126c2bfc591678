"""The architectures of segmentation-models-pytorch, with the encoders that it has or takes from timm."""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import nn

from geoseg.model.zoo.architecture import COMMON, Architecture, Limit, whole_number
from geoseg.model.zoo.extra import NETWORK_NAME, call_extra, import_extra


def build_smp(class_name: str, defaults: Mapping[str, Any], **arguments: Any) -> nn.Module:
    """Build a network of segmentation-models-pytorch with random weights.

    Args:
        class_name: Name of the class there.
        defaults: Arguments in place of the class's own defaults.
        arguments: Arguments of the class.

    Raises:
        SettingsError: If the package is not installed.
        ValueError: If the arguments do not fit each other or the encoder.
    """
    network_class = getattr(import_extra("segmentation_models_pytorch"), class_name)
    network: nn.Module = call_extra(network_class, **{**defaults, **arguments, "encoder_weights": None})
    network.size_multiple = _size_multiple(network)  # type: ignore[assignment]
    return network


def _size_multiple(network: Any) -> int:
    """Multiple of the sides for which output and input have the same size."""
    stride = int(network.encoder.output_stride)
    if type(network).__name__ != "DPT":
        return stride
    # Its maps have strides 4, 8 ... 2 ** (depth + 1), and each is enlarged twice to be added to the next.
    return math.lcm(stride, 2 ** (len(network.encoder.output_strides) + 1))


def _one_of(*values: object) -> Limit:
    text = ", ".join("null" if value is None else str(value) for value in values)
    return Limit(f"one of {text}", lambda value: any(type(value) is type(one) and value == one for one in values))


def _whole_numbers(count: int, most: int, least: int = 1) -> Limit:
    one = whole_number(most, least)
    return Limit(
        f"a list of at most {count} numbers, each {one.text}",
        lambda value: isinstance(value, list | tuple) and len(value) <= count and all(map(one.accepts, value)),
    )


def _or_null(limit: Limit) -> Limit:
    return Limit(f"null or {limit.text}", lambda value: value is None or limit.accepts(value))


MAX_CHANNELS = 2048
_CHANNELS, _FLAG = whole_number(MAX_CHANNELS), _one_of(True, False)
_NORM = _one_of("batchnorm", "identity", "instancenorm", True, False)
_INTERPOLATION = _one_of("nearest", "bilinear", "bicubic", "area", "nearest-exact")
_DROPOUT = Limit("a number from 0 to 1", lambda value: type(value) in (int, float) and 0 <= value <= 1)
_UPSAMPLING = whole_number(32)
_SMP: Mapping[str, Limit] = {
    "encoder_name": NETWORK_NAME,
    "encoder_depth": whole_number(5),
    "encoder_weights": Limit(
        "null: the bundle holds the weights, and nothing is downloaded", lambda value: value is None
    ),
    **COMMON,
    "activation": Limit(
        "null: the network of a bundle returns logits, and geoseg:activation states what follows",
        lambda value: value is None,
    ),
    "aux_params": Limit(
        "null: a bundle has one output. Build the network without aux_params and leave out the weights that begin "
        "with classification_head",
        lambda value: value is None,
    ),
}
_DECODER = {"decoder_channels": _whole_numbers(5, MAX_CHANNELS), "decoder_use_norm": _NORM}
_DEEPLAB = {
    "encoder_output_stride": _one_of(8, 16),
    "decoder_channels": _CHANNELS,
    "decoder_atrous_rates": _whole_numbers(3, 64),
    "decoder_aspp_separable": _FLAG,
    "decoder_aspp_dropout": _DROPOUT,
    "upsampling": _or_null(_UPSAMPLING),
}
_UNET = {**_DECODER, "decoder_attention_type": _one_of(None, "scse"), "decoder_interpolation": _INTERPOLATION}


def _entry(
    name: str, class_name: str, paper: str, limits: Mapping[str, Limit], multiple: int = 32, **defaults: Any
) -> Architecture:
    return Architecture(
        name, paper, partial(build_smp, class_name, defaults), {**_SMP, **limits}, multiple, needs_extra=True
    )


SMP = (
    _entry("smp-unet", "Unet", "Ronneberger et al. 2015, arXiv:1505.04597", _UNET),
    _entry("smp-unetplusplus", "UnetPlusPlus", "Zhou et al. 2018, arXiv:1807.10165", _UNET),
    _entry(
        "smp-manet",
        "MAnet",
        "Fan et al. 2020, doi:10.1109/ACCESS.2020.3025372",
        {**_DECODER, "decoder_pab_channels": _CHANNELS, "decoder_interpolation": _INTERPOLATION},
    ),
    _entry("smp-linknet", "Linknet", "Chaurasia et al. 2017, arXiv:1707.03718", {"decoder_use_norm": _NORM}),
    _entry(
        "smp-fpn",
        "FPN",
        "Kirillov et al. 2017, http://presentations.cocodataset.org/COCO17-Stuff-FAIR.pdf",
        {
            "decoder_pyramid_channels": _CHANNELS,
            "decoder_segmentation_channels": _CHANNELS,
            "decoder_merge_policy": _one_of("add", "cat"),
            "decoder_dropout": _DROPOUT,
            "decoder_interpolation": _INTERPOLATION,
            "upsampling": _UPSAMPLING,
        },
    ),
    _entry(
        "smp-pspnet",
        "PSPNet",
        "Zhao et al. 2017, arXiv:1612.01105",
        {
            "psp_out_channels": _CHANNELS,
            "decoder_use_norm": _NORM,
            "psp_dropout": _DROPOUT,
            "upsampling": _UPSAMPLING,
        },
        8,
    ),
    _entry("smp-deeplabv3", "DeepLabV3", "Chen et al. 2017, arXiv:1706.05587", _DEEPLAB, 8),
    _entry("smp-deeplabv3plus", "DeepLabV3Plus", "Chen et al. 2018, arXiv:1802.02611", _DEEPLAB, 16),
    _entry(
        "smp-pan",
        "PAN",
        "Li et al. 2018, arXiv:1805.10180",
        {
            "encoder_output_stride": _one_of(16, 32),
            "decoder_channels": _CHANNELS,
            "decoder_interpolation": _INTERPOLATION,
            "upsampling": _UPSAMPLING,
        },
        16,
    ),
    _entry(
        "smp-upernet",
        "UPerNet",
        "Xiao et al. 2018, arXiv:1807.10221",
        {"decoder_channels": _CHANNELS, "decoder_use_norm": _NORM, "upsampling": _UPSAMPLING},
    ),
    _entry(
        "smp-segformer",
        "Segformer",
        "Xie et al. 2021, arXiv:2105.15203",
        {"decoder_segmentation_channels": _CHANNELS, "upsampling": _UPSAMPLING},
        encoder_name="mit_b0",
    ),
    _entry(
        "smp-dpt",
        "DPT",
        "Ranftl et al. 2021, arXiv:2103.13413",
        {
            "encoder_output_indices": _or_null(_whole_numbers(5, 99, 0)),
            "decoder_readout": _one_of("cat", "add", "ignore"),
            "decoder_intermediate_channels": _whole_numbers(5, MAX_CHANNELS),
            "decoder_fusion_channels": _CHANNELS,
            "dynamic_img_size": _FLAG,
        },
        dynamic_img_size=True,  # else a network takes patches of 224 px alone
    ),
)
"""All of them."""
