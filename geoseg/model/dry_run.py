"""Forward passes before any work: does the network do what its bundle says, and keep patches apart?"""

import torch
from torch import Tensor

from geoseg.errors import SettingsError
from geoseg.model.bundle import Bundle
from geoseg.model.predictor import Network


def check_output(network: Network, bundle: Bundle, batch_size: int, patch_px: int, device: torch.device) -> None:
    """Compare the shape of one forward pass with what ``model.json`` promises.

    Raises:
        SettingsError: If the network fails or returns anything but one map of the legend's classes a patch.
    """
    classes = len(bundle.legend)
    shape = tuple(_run(network, bundle, torch.zeros(batch_size, len(bundle.bands), patch_px, patch_px), device).shape)
    # One channel is the probability of the second of two classes.
    channels = {1, classes} if classes == 2 and bundle.file.activation != "softmax" else {classes}
    if len(shape) != 4 or shape[0] != batch_size or shape[1] not in channels or max(shape[2:]) > patch_px:
        raise SettingsError(
            f"{bundle.artifact} returns shape {shape} for {batch_size} patches of {patch_px} px, but model.json names "
            f"{classes} classes, so ({batch_size}, {classes}, {patch_px}, {patch_px}) or a smaller map is expected. "
            "Correct classification:classes or dim_order in model.json."
        )


def keeps_patches_apart(network: Network, bundle: Bundle, batch_size: int, patch_px: int, device: torch.device) -> bool:
    """Tell whether a patch's logits are the same bits at any place of a batch, in any company."""
    shape = (batch_size + 1, len(bundle.bands), patch_px, patch_px)
    patches = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    first = _run(network, bundle, patches[:-1], device)
    moved = _run(network, bundle, patches[1:].flip(0), device)
    return all(torch.equal(first[place], moved[-place]) for place in range(1, batch_size))


def measure_batch(network: Network, bundle: Bundle, batch_size: int, patch_px: int, device: torch.device) -> int:
    """Bytes that a CUDA device allocates for one batch on its way through the network, beside the weights; 0 on a CPU.

    As many as it has and one more if that is not enough.
    """
    if device.type == "cpu":
        return 0
    total_bytes = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    try:
        network(torch.zeros(batch_size, len(bundle.bands), patch_px, patch_px, device=device, dtype=network.dtype))
    except torch.OutOfMemoryError:
        return total_bytes + 1
    return torch.cuda.max_memory_allocated(device) - before


def _run(network: Network, bundle: Bundle, batch: Tensor, device: torch.device) -> Tensor:
    try:
        return network(batch.to(device, network.dtype))
    except Exception as error:  # whatever a foreign network raises here, the bundle is at fault
        reason = str(error).strip().splitlines()[0]
        raise SettingsError(
            f"{bundle.artifact} fails on {tuple(batch.shape)} patches: {reason}. "
            "Check tiling.patch_px and the shapes in model.json."
        ) from error
