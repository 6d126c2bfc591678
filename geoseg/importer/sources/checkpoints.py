"""Files of weights: Lightning checkpoints of torchgeo and ftw-tools, folders of geoai, FLAIR-HUB, bare weights."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from geoseg.errors import SettingsError
from geoseg.importer.facts.facts import Fact
from geoseg.importer.facts.json_files import read_object
from geoseg.importer.sources.own_networks import is_own, read_own
from geoseg.importer.sources.smp_folder import CONFIG, describe_smp
from geoseg.importer.sources.smp_networks import count_channels, find_class, load_smp
from geoseg.importer.sources.source import Request, Source
from geoseg.importer.sources.weights import (
    load_strictly,
    read_checkpoint,
    read_safetensors,
    split_training,
    take_weights,
    without_prefix,
)

SUFFIXES = (".ckpt", ".pth", ".pt", ".bin", ".safetensors")
GEOAI_WEIGHTS = "model.pth"
LIGHTNING = "hyper_parameters"
FLAIR_ENCODER, FLAIR_DECODER = "encoders.AERIAL_RGBI.seg_model.", "main_decoders."
_BYTES = Fact([{"type": "divide", "value": 255.0}], "geoai (divides bytes by 255)")
FLAIR_PATCH_PX = 512
"""Side of the pictures that FLAIR-HUB is trained on."""
FTW_DECODER_CHANNELS = (16, 32, 64, 128, 256)
"""Of the model ``unet_r`` of ftw-tools."""


def is_geoai_folder(path: Path) -> bool:
    """Return whether it is a folder that geoai pushes to the Hugging Face hub."""
    config = path / CONFIG
    return path.is_dir() and config.is_file() and read_object(config).get("model_type") == "timm_segmentation"


def read_geoai_folder(request: Request) -> Source:
    """Read the network of a geoai folder.

    Raises:
        SettingsError: If a file is missing or damaged, or they do not fit each other.
    """
    path = request.path / CONFIG
    config = read_object(path)
    if config.get("use_timm_model"):
        raise SettingsError(
            f"{path} names {config.get('timm_model_name')!r}, a network of timm alone, which gives one label for a "
            "picture. Export a network that gives one for each pixel."
        )
    name = find_class(str(config.get("architecture", "unet")), str(path))
    arguments = {
        "encoder_name": str(config.get("encoder_name", "resnet50")),
        "in_channels": config.get("num_channels", 3),
        "classes": config.get("num_classes", 2),
    }
    file = request.path / GEOAI_WEIGHTS
    network = load_smp(name, arguments, take_weights(read_checkpoint(file), file), file, str(path))
    return describe_smp(request, name, arguments, network, CONFIG, scaling=_BYTES)


def is_checkpoint(path: Path) -> bool:
    """Return whether the name is that of a file of weights."""
    return path.is_file() and path.suffix.lower() in SUFFIXES


def read_any_checkpoint(request: Request) -> Source:
    """Read a file of weights; what it is shows in its keys.

    Raises:
        SettingsError: If it cannot be read, or its network is not known.
    """
    path = request.path
    content = read_safetensors(path) if path.suffix.lower() == ".safetensors" else read_checkpoint(path)
    parameters = content.get(LIGHTNING) if isinstance(content, Mapping) else None
    if isinstance(parameters, Mapping) and "model" in parameters:
        return _read_torchgeo(request, parameters, take_weights(content, path))
    weights = take_weights(content, path)
    plain = without_prefix(weights, "encoders.")
    if any(name.startswith(FLAIR_ENCODER) for name in plain):
        return _read_flair(request, plain)
    if isinstance(content, Mapping) and isinstance(content.get("architecture"), str):  # geoai's checkpoint_epoch_N.pth
        encoder = str(content.get("encoder_name"))
        return _read_bare(request, weights, str(content["architecture"]), encoder, path.name, scaling=_BYTES)
    return _read_bare(request, weights, request.architecture, request.encoder, "--arch --encoder")


def _read_bare(
    request: Request,
    weights: Mapping[str, Tensor],
    architecture: str | None,
    encoder: str | None,
    origin: str,
    **more: Any,
) -> Source:
    if architecture is not None and encoder is None and is_own(architecture):
        own, left_out = split_training(weights)
        return _with_left_out(read_own(request, architecture, own), left_out)
    if architecture is None or encoder is None:
        raise SettingsError(
            f"{request.path} holds weights and does not name their network. Give both --arch (such as Unet, "
            "DeepLabV3Plus; a class of segmentation-models-pytorch) and --encoder (such as resnet34); for geoseg's own "
            "networks --arch alone (such as unet, fcn8s, segnet)."
        )
    name = find_class(architecture, origin)
    arguments: dict[str, Any] = {"encoder_name": encoder}
    own, left_out = split_training(weights)
    own = without_prefix(own, "encoder.")
    bands, classes = count_channels(name, arguments, own, request.path, origin)
    arguments |= {"in_channels": bands, "classes": classes}
    network = load_smp(name, arguments, own, request.path, origin)
    counted = {"band_count": Fact(bands, "weights"), "class_count": Fact(classes, "weights")}
    source = describe_smp(request, name, arguments, network, origin, **counted, **more)
    return _with_left_out(source, left_out)


def _read_torchgeo(request: Request, parameters: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Source:
    """A checkpoint of ``SemanticSegmentationTask`` of torchgeo, or of ftw-tools."""
    path, origin = request.path, LIGHTNING
    model = str(parameters.get("model"))
    own, left_out = split_training(weights)
    classes = parameters.get("num_classes") or parameters.get("num_labels") or 1
    arguments: dict[str, Any] = {
        "encoder_name": str(parameters.get("backbone")),
        "in_channels": parameters.get("in_channels", 3),
        "classes": classes,
    }
    if model.startswith("fcsiam"):
        raise SettingsError(
            f"{path} holds {model}, which takes two dates as one input of five dimensions. Export it to ONNX with the "
            "bands of both dates in one dimension, and import that."
        )
    more: dict[str, Any] = {}
    if parameters.get("task") in ("binary", "multilabel"):
        more["activation"] = Fact("sigmoid", f"{origin} (task {parameters['task']})")
    elif parameters.get("task") == "multiclass":
        more["activation"] = Fact("softmax", f"{origin} (task multiclass)")
    if model == "fcn":
        filters = int(parameters.get("num_filters") or 64)
        network = _torchgeo_fcn(int(arguments["in_channels"]), int(classes), filters)
        network = load_strictly(network, without_prefix(own, "backbone."), path)
        source = describe_smp(
            request, "FCN", {**arguments, "encoder_name": f"{filters} filters"}, network, origin, **more
        )
        source = replace(
            source, kind="torchgeo, FCN", facts=source.facts.with_(size_multiple=Fact(1, "layers")), zoo=None
        )
    else:
        name = find_class("Unet" if model == "unet_r" else model, f"{origin} in {path}")
        if model == "unet_r":
            arguments["decoder_channels"] = FTW_DECODER_CHANNELS
        network = load_smp(name, arguments, own, path, f"{origin} in {path}")
        source = describe_smp(request, name, arguments, network, origin, **more)
    return _with_left_out(source, left_out)


def _torchgeo_fcn(bands: int, classes: int, filters: int) -> nn.Module:
    """The FCN of torchgeo: five convolutions with leaky ReLUs, with its names of the layers."""
    layers: list[nn.Module] = []
    for index in range(5):
        layers += [nn.Conv2d(bands if index == 0 else filters, filters, 3, padding=1), nn.LeakyReLU(inplace=True)]
    parts = {"backbone": nn.Sequential(*layers), "last": nn.Conv2d(filters, classes, 1)}
    network = nn.Sequential()
    for name, part in parts.items():
        network.add_module(name, part)
    network.size_multiple = 1  # type: ignore[assignment]
    return network


def _read_flair(request: Request, weights: Mapping[str, Tensor]) -> Source:
    """FLAIR-HUB with aerial pictures alone: a network of segmentation-models-pytorch with other names of its weights.

    Its decoder gets the features of the encoder unchanged, since nothing is fused (``FusionHandler`` of FLAIR-HUB).
    """
    path = request.path
    if request.architecture is None or request.encoder is None:
        raise SettingsError(
            f"{path} is a model of FLAIR-HUB, which keeps the names of its parts in a YAML file, monotemp_arch: "
            "ENCODER-DECODER. Give them as --encoder and --arch, for LC-A swin_base_patch4_window12_384 and upernet."
        )
    modalities = sorted({name.split(".")[1] for name in weights if name.startswith("encoders.")})
    tasks = sorted({name.split(".")[1] for name in weights if name.startswith(FLAIR_DECODER)})
    if modalities != ["AERIAL_RGBI"] or len(tasks) != 1:
        raise SettingsError(
            f"{path} takes {', '.join(modalities)} and gives {', '.join(tasks)}; geoseg imports models of FLAIR-HUB "
            "that take AERIAL_RGBI and give one label."
        )
    decoder = f"{FLAIR_DECODER}{tasks[0]}.seg_model."
    own = {
        prefix + name.removeprefix(part): tensor
        for part, prefix in ((FLAIR_ENCODER, "encoder."), (decoder, ""))
        for name, tensor in weights.items()
        if name.startswith(part)
    }
    left_out = tuple(name for name in weights if not name.startswith((FLAIR_ENCODER, decoder)))
    origin = "--arch --encoder"
    name = find_class(request.architecture, origin)
    encoder = request.encoder if request.encoder.startswith(("resnet", "tu-")) else f"tu-{request.encoder}"
    arguments: dict[str, Any] = {"encoder_name": encoder}
    if "swin" in encoder:
        arguments["img_size"] = FLAIR_PATCH_PX
    bands, classes = count_channels(name, arguments, own, path, origin)
    arguments |= {"in_channels": bands, "classes": classes}
    network = load_smp(name, arguments, own, path, origin)
    counted = {"band_count": Fact(bands, "weights"), "class_count": Fact(classes, "weights")}
    return _with_left_out(describe_smp(request, name, arguments, network, origin, **counted), left_out)


def _with_left_out(source: Source, names: tuple[str, ...]) -> Source:
    return replace(source, left_out=names)
