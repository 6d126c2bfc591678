"""A folder that ``save_pretrained`` of segmentation-models-pytorch wrote."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from geoseg.errors import SettingsError
from geoseg.importer.facts.facts import Fact, Facts
from geoseg.importer.facts.json_files import read_object
from geoseg.importer.sources.model_card import read_card
from geoseg.importer.sources.smp_networks import find_class, load_smp
from geoseg.importer.sources.source import Request, Source, run_module
from geoseg.importer.sources.weights import read_checkpoint, read_safetensors, take_weights

CONFIG = "config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
TRANSFORMS = "albumentations_config_eval.json"
"""The preprocessing, if the author has saved it with Albumentations, too."""
INSIDE = {"sigmoid": "none", "softmax": "none", "softmax2d": "none", "logsigmoid": None, "logsoftmax": "softmax"}
"""``activation`` of the network -> what is left to do. None: not supported."""


def is_smp_folder(path: Path) -> bool:
    """Return whether ``config.json`` names a class of segmentation-models-pytorch."""
    return path.is_dir() and (path / CONFIG).is_file() and "_model_class" in read_object(path / CONFIG)


def read_smp_folder(request: Request) -> Source:
    """Read the network.

    Raises:
        SettingsError: If a file is missing or damaged, or they do not fit each other.
    """
    path = request.path / CONFIG
    config = read_object(path)
    name = find_class(str(config["_model_class"]), str(path))
    arguments = {key: value for key, value in config.items() if not key.startswith("_")}
    file = next((request.path / each for each in WEIGHTS if (request.path / each).is_file()), None)
    if file is None:
        raise SettingsError(f"{request.path} has no {' or '.join(WEIGHTS)}. Copy the whole folder.")
    weights = read_safetensors(file) if file.suffix == ".safetensors" else take_weights(read_checkpoint(file), file)
    network = load_smp(name, arguments, weights, file, str(path))
    return describe_smp(request, name, arguments, network, CONFIG, **_scaling(request.path))


def describe_smp(
    request: Request, name: str, arguments: dict[str, Any], network: Any, origin: str, **more: Any
) -> Source:
    """A source of a network of segmentation-models-pytorch.

    Args:
        request: What was asked for.
        name: Its class.
        arguments: Its arguments.
        network: The network with its weights.
        origin: The file or options that name them.
        more: More facts, by field.

    Raises:
        SettingsError: If it ends in an activation that geoseg cannot continue from.
    """
    encoder, inside = arguments.get("encoder_name", "resnet34"), arguments.get("activation")
    activation = None
    if inside is not None:
        left = INSIDE.get(str(inside))
        if left is None:
            raise SettingsError(
                f"{request.path}: the network ends in the activation {inside!r}. Build it without activation, load "
                "the weights, and save it again."
            )
        activation = Fact(left, f"{origin} (activation {inside!r} in the network)")
    facts = Facts(
        name=Fact(request.path.resolve().stem, "name of the source"),
        architecture=Fact(f"{name} {encoder}", origin),
        band_count=Fact(int(arguments.get("in_channels", 3)), origin),
        class_count=Fact(int(arguments.get("classes", 1)), origin),
        activation=activation,
        size_multiple=Fact(int(network.size_multiple), "encoder"),
    ).with_(**more)
    folder = request.path if request.path.is_dir() else request.path.parent
    zoo_arguments = {
        key: value for key, value in arguments.items() if key not in ("encoder_weights", "aux_params", "activation")
    }
    return Source(
        kind=f"segmentation-models-pytorch, {name} with {encoder}",
        facts=facts.with_(**read_card(folder)) if request.path.is_dir() else facts,
        forward=run_module(network),
        network=network if arguments.get("aux_params") is None else _Masks(network).eval(),
        zoo=(f"smp-{name.lower()}", json.loads(json.dumps(zoo_arguments)))
        if inside is None and arguments.get("aux_params") is None
        else None,
    )


class _Masks(torch.nn.Module):
    """The maps alone, of a network that also labels the picture (``aux_params``)."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        return self.network(pixels)[0]  # type: ignore[no-any-return]


def _scaling(folder: Path) -> dict[str, Any]:
    """The scaling of the author's Albumentations pipeline, if it is there."""
    file = folder / TRANSFORMS
    if not file.is_file():
        return {}
    steps: list[dict[str, Any]] = []
    facts: dict[str, Any] = {}
    for step in _transforms(read_object(file).get("transform", {})):
        name = str(step.get("__class_fullname__", "")).rpartition(".")[2]
        if name == "Normalize" and step.get("normalization", "standard") == "standard":
            most = step.get("max_pixel_value", 255.0)
            mean, stddev = ([float(one) * most for one in step[key]] for key in ("mean", "std"))
            steps.append({"type": "z-score", "mean": mean, "stddev": stddev})
        elif name == "ToFloat" and step.get("max_value"):
            steps.append({"type": "divide", "value": float(step["max_value"])})
        elif name in ("Normalize", "ToFloat", "FromFloat", "Lambda"):
            raise SettingsError(
                f"{file} has the step {name} with {step}, which geoseg cannot express. Give the scaling with --scaling."
            )
        elif name in ("Resize", "CenterCrop", "RandomCrop", "PadIfNeeded") and step.get("height") == step.get("width"):
            facts["patch_px"] = Fact(int(step["height"]), f"{TRANSFORMS} ({name})")
    if steps:
        facts["scaling"] = Fact(steps, TRANSFORMS)
    return facts


def _transforms(step: Any) -> list[dict[str, Any]]:
    """The steps of a pipeline, in order, out of nested Compose."""
    if not isinstance(step, dict):
        return []
    if "transforms" in step:
        return [inner for each in step["transforms"] for inner in _transforms(each)]
    return [step]
