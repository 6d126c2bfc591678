"""Read weights of another library without running code."""

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from geoseg.errors import SettingsError
from geoseg.model.network import one_line

WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Keys under which training loops save the weights."""
PREFIXES = ("module.", "_orig_mod.", "model.", "net.")
"""What wrappers (DataParallel, torch.compile, Lightning, geoai) put before the name of each weight."""
OF_TRAINING = ("criterion.", "ce_loss.", "loss.", "loss_fn.")
"""Beginnings of the names of weights that only the loss uses."""


def read_checkpoint(path: Path) -> Any:
    """Read what `torch.save` wrote, as far as it is made of tensors, numbers, text and containers of these.

    Raises:
        SettingsError: If it cannot be read, or holds objects whose loading would run code.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise SettingsError(
            f"{path} was not loaded: it holds more than weights, and loading the rest can run code "
            f"({_first_sentence(error)}). Save the weights alone, torch.save(network.state_dict(), 'weights.pth'), or "
            "export the network to ONNX, and import that."
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError) as error:
        raise SettingsError(
            f"{path} cannot be read as a file of torch.save: {one_line(error)}. Copy it again."
        ) from error


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read a file of safetensors.

    Raises:
        SettingsError: If it is damaged.
    """
    try:
        weights: dict[str, Tensor] = safetensors.torch.load_file(path)
    except (SafetensorError, OSError) as error:
        raise SettingsError(f"{path} cannot be read as safetensors: {one_line(error)}. Copy it again.") from error
    return weights


def take_weights(content: Any, path: Path) -> dict[str, Tensor]:
    """Find the weights in what a training loop saved.

    Raises:
        SettingsError: If there are none.
    """
    while isinstance(content, Mapping) and (name := next((name for name in WRAPPERS if name in content), None)):
        if isinstance(content[name], Tensor):
            break
        content = content[name]
    if not isinstance(content, Mapping) or not content or not all(isinstance(one, Tensor) for one in content.values()):
        held = sorted(map(str, content))[:5] if isinstance(content, Mapping) else type(content).__name__
        raise SettingsError(
            f"{path} holds no weights by name: {held}. Save them with torch.save(network.state_dict(), 'weights.pth')."
        )
    return {str(name): tensor for name, tensor in content.items()}


def split_training(weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Split weights into those of the network and the names of those that only the loss uses."""
    left_out = tuple(name for name in weights if name.startswith(OF_TRAINING))
    return {name: tensor for name, tensor in weights.items() if name not in left_out}, left_out


def without_prefix(weights: Mapping[str, Tensor], expected: str) -> dict[str, Tensor]:
    """Remove prefixes that all names share, until one begins with ``expected``.

    Args:
        weights: Weights by name.
        expected: How a name of the network begins, such as ``encoder.``.
    """
    named = dict(weights)
    while not any(name.startswith(expected) for name in named):
        prefix = next((prefix for prefix in PREFIXES if named and all(name.startswith(prefix) for name in named)), None)
        if prefix is None:
            break
        named = {name.removeprefix(prefix): tensor for name, tensor in named.items()}
    return named


def load_strictly(network: torch.nn.Module, weights: Mapping[str, Tensor], path: Path) -> torch.nn.Module:
    """Load weights into a network; each must have its place, and each place its weight.

    Returns:
        The network in inference mode.

    Raises:
        SettingsError: If a name is missing, unexpected, or of another shape.
    """
    expected = network.state_dict()
    problems = [f"{name} is missing" for name in expected if name not in weights]
    problems += [f"{name} has no place in the network" for name in weights if name not in expected]
    problems += [
        f"{name} has the shape {list(weights[name].shape)}, and the network {list(tensor.shape)}"
        for name, tensor in expected.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    if problems:
        more = f", and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise SettingsError(
            f"{path}: its weights are not those of {type(network).__name__} as it is described: "
            f"{'; '.join(problems[:5])}{more}. Correct the architecture, the encoder or the number of bands or classes."
        )
    network.load_state_dict(dict(weights))
    return network.float().eval()


def _first_sentence(error: Exception) -> str:
    text = one_line(error)
    for mark in ("Unsupported global: ", "Unsupported operand"):
        if mark in text:
            return mark + text.split(mark)[1].split(" was not")[0].split(" via ")[0]
    return text.split(". ")[0]
