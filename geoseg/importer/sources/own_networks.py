"""Weights of the networks of geoseg's own zoo that need no encoder."""

from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from geoseg.errors import SettingsError
from geoseg.importer.facts.facts import Fact, Facts
from geoseg.importer.sources.source import Request, Source, run_module
from geoseg.importer.sources.weights import load_strictly
from geoseg.model.zoo.architectures import ARCHITECTURES, build

CHANNELS = ("in_channels", "classes")
DEPTHS = range(1, 9)


def is_own(name: str) -> bool:
    """Return whether a network can be built from its name and the shapes of its weights."""
    return name in ARCHITECTURES and not ARCHITECTURES[name].needs_extra


def read_own(request: Request, name: str, weights: Mapping[str, Tensor]) -> Source:
    """Build a network with the arguments that the shapes of its weights show, and load them.

    Raises:
        SettingsError: If they are those of another network.
    """
    arguments = _find_arguments(name, weights, request.path)
    network = load_strictly(build(name, arguments), weights, request.path)
    bands, classes = (Fact(arguments[key], "weights") for key in CHANNELS)
    facts = Facts(
        name=Fact(request.path.stem, "name of the source"),
        architecture=Fact(name, "--arch"),
        band_count=bands,
        class_count=classes,
        size_multiple=Fact(int(network.size_multiple), "layers"),  # type: ignore[arg-type]  # `build` sets it
    )
    return Source(f"geoseg, {name}", facts, run_module(network), network, zoo=(name, arguments))


def _find_arguments(name: str, weights: Mapping[str, Tensor], path: Path) -> dict[str, Any]:
    shapes = {key: tensor.shape for key, tensor in weights.items()}
    for others in _candidates(name, weights):
        few = _shapes(name, {**others, "in_channels": 3, "classes": 3})
        if few is None or few.keys() != shapes.keys():
            continue
        found = dict(others)
        for argument, axis in zip(CHANNELS, (1, 0), strict=True):
            more = _shapes(name, {**others, **dict.fromkeys(CHANNELS, 3), argument: 4})
            layer = next(key for key, shape in few.items() if more is not None and shape != more[key])
            found[argument] = shapes[layer][axis] if len(shapes[layer]) > axis else 0
        if _shapes(name, found) == shapes:
            return found
    raise SettingsError(
        f"{path}: its weights are those of no {name} that geoseg builds. Correct --arch, or export the network to ONNX "
        "(torch.onnx.export) and give that."
    )


def _candidates(name: str, weights: Mapping[str, Tensor]) -> Iterator[dict[str, int]]:
    """Arguments beside the numbers of bands and classes; the width is the number of channels of some layer."""
    widths = sorted({tensor.shape[0] for tensor in weights.values() if tensor.ndim == 4})
    ranges = {"width": widths, "depth": DEPTHS}
    named = [key for key in ARCHITECTURES[name].limits if key in ranges]
    return (dict(zip(named, values, strict=True)) for values in product(*(ranges[key] for key in named)))


def _shapes(name: str, arguments: Mapping[str, Any]) -> dict[str, torch.Size] | None:
    """Shapes of the weights of a network; None if it refuses the arguments."""
    try:
        with torch.device("meta"):
            return {key: tensor.shape for key, tensor in build(name, arguments).state_dict().items()}
    except ValueError:
        return None
