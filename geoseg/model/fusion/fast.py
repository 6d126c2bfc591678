"""Prepare a network of the zoo for fast inference."""

import torch
from torch import Tensor, nn

from geoseg.model.fusion.fold_normalisation import fold_normalisation
from geoseg.model.fusion.fused_relu import FusedRelu
from geoseg.model.zoo.architecture import Architecture


def make_fast(
    network: nn.Module, architecture: Architecture, pixels: Tensor, dtype: torch.dtype, device: torch.device
) -> nn.Module:
    """Fold normalisation, convert the weights, and on a CPU fuse ReLUs where that is proven to change nothing.

    Args:
        network: A network of the zoo in float32 on a CPU; its layers are replaced in place.
        architecture: Its entry.
        pixels: An input that it accepts, float32, shape (N, C, H, W). Where it fails, nothing is folded, and the first
            forward pass will tell why.
        dtype: Data type of the convolutions.
        device: Device of the result.

    Returns:
        A module for inputs of ``dtype``, fastest in torch's memory format `channels_last`.
    """
    network.eval()
    if _runs(network, pixels):
        fold_normalisation(network, pixels)
    # Folded first, so that the folded weights are rounded to bfloat16 once.
    network = network.to(device, dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if device.type == "cpu" and architecture.fuses_relu:
        return FusedRelu(network, int(network.size_multiple))  # type: ignore[arg-type]  # `build` sets it
    return network


def _runs(network: nn.Module, pixels: Tensor) -> bool:
    """Return whether the network's own forward pass works."""
    try:
        with torch.inference_mode():
            network(pixels)
    except Exception:  # any error of a network; the dry run shows it  # noqa: BLE001
        return False
    return True
