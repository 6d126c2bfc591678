"""The network that a training begins with: fresh, or with the weights of a bundle or a file."""

from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from geoseg.errors import SettingsError
from geoseg.model.bundle.files import MODEL_FILE
from geoseg.model.bundle.trust import read_trusted_bundle
from geoseg.model.zoo.architectures import build
from geoseg.train_settings import TrainSettings


def start_network(settings: TrainSettings, bands: int) -> tuple[nn.Module, dict[str, Any], str]:
    """Build the network of a training.

    Args:
        settings: Architecture, its arguments, and what to start from.
        bands: Number of bands.

    Returns:
        The network, all its arguments, and a sentence that tells what it starts from.

    Raises:
        SettingsError: If the architecture or the weights do not fit.
    """
    wanted = settings.network
    arguments = {**wanted.arguments, "in_channels": bands, "classes": len(settings.classes)}
    torch.manual_seed(settings.run.seed)
    try:
        network = build(wanted.architecture, arguments)
    except ValueError as error:
        raise SettingsError(f"network: {error}") from error
    multiple = int(network.size_multiple)  # type: ignore[arg-type]
    if settings.data.patch_px % multiple:
        raise SettingsError(
            f"data.patch_px={settings.data.patch_px} is not a multiple of {multiple}, which {wanted.architecture} "
            f"needs. Use {max(1, settings.data.patch_px // multiple) * multiple}."
        )
    if wanted.frozen_epochs and not isinstance(getattr(network, "encoder", None), nn.Module):
        raise SettingsError(
            f"network.frozen_epochs={wanted.frozen_epochs}, and {wanted.architecture} has no encoder of its own. Set 0."
        )
    if wanted.start is None:
        return network, arguments, "random weights"
    weights = _read_weights(Path(wanted.start), wanted.architecture, trust_code=settings.trust_model_code)
    return network, arguments, _take_weights(network, weights, wanted.start)


def _read_weights(path: Path, architecture: str, *, trust_code: bool) -> dict[str, Tensor]:
    if (path / MODEL_FILE).is_file():
        bundle = read_trusted_bundle(path, trust_code=trust_code)
        if bundle.file.architecture != architecture or bundle.artifact.suffix != ".safetensors":
            raise SettingsError(
                f"network.start={path} holds {bundle.file.architecture} as {bundle.artifact.name}, and network."
                f"architecture is {architecture}. Give a bundle with weights.safetensors of the same architecture."
            )
        path = bundle.artifact
    try:
        weights: dict[str, Tensor] = safetensors.torch.load(path.read_bytes())
    except (OSError, safetensors.SafetensorError) as error:
        raise SettingsError(
            f"network.start={path} cannot be read: {error}. Give a bundle or a .safetensors file."
        ) from error
    return weights


def _take_weights(network: nn.Module, weights: dict[str, Tensor], source: str) -> str:
    """Copy all tensors of the same name and shape; the first layer also from another number of bands."""
    own = network.state_dict()
    fitting = {name: tensor for name, tensor in weights.items() if name in own and own[name].shape == tensor.shape}
    adapted = [
        name
        for name, tensor in weights.items()
        if name in own and name not in fitting and _differs_in_bands(own[name], tensor)
    ]
    fitting |= {name: adapt_bands(weights[name], own[name].shape[1]) for name in adapted[:1]}
    if not fitting:
        raise SettingsError(
            f"network.start={source} has no layer of this network: it has {', '.join(list(weights)[:3])} ..., the "
            f"network {', '.join(list(own)[:3])} ... . Check network.architecture and network.arguments."
        )
    network.load_state_dict(fitting, strict=False)
    anew = [name for name in own if name not in fitting]
    first = f"; {adapted[0]} for another number of bands" if adapted else ""
    rest = f"; anew: {', '.join(anew[:4])}{' ...' if len(anew) > 4 else ''}" if anew else ""
    return f"{len(fitting)} of {len(own)} tensors of {source}{first}{rest}"


def _differs_in_bands(own: Tensor, other: Tensor) -> bool:
    if own.ndim != 4 or other.ndim != 4:
        return False
    return own.shape[0] == other.shape[0] and own.shape[2:] == other.shape[2:] and own.shape[1] != other.shape[1]


def adapt_bands(weight: Tensor, bands: int) -> Tensor:
    """Weights of a first convolution for another number of bands.

    As `timm.models.adapt_input_conv` does: one band gets the sum of the known ones; several repeat them, and the sum
    over the bands stays the same.

    Args:
        weight: Shape (out, bands before, H, W).
        bands: Number of bands.

    Returns:
        Shape (out, bands, H, W).
    """
    before = weight.shape[1]
    if bands == 1:
        return weight.sum(dim=1, keepdim=True)
    repeated = weight.repeat(1, -(-bands // before), 1, 1)[:, :bands]
    return repeated * (before / bands)
