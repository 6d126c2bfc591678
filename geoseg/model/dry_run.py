"""Forward passes before a run: check the network against its bundle, and the independence of patches in a batch."""

import torch
from torch import Tensor

from geoseg.errors import SettingsError
from geoseg.model.bundle.bundle import ANY_SIZE, Bundle
from geoseg.model.bundle.files import MODEL_FILE
from geoseg.model.network import one_line
from geoseg.model.patchwork.protocol import Network

TOLERANCE = 0.01
"""Tolerance for probabilities and their sums, which bfloat16 rounds."""


def check_output(network: Network, bundle: Bundle, batch_size: int, patch_px: int, device: torch.device) -> list[str]:
    """Compare one forward pass with the declarations of ``model.json``.

    Returns:
        A warning if the values indicate another activation than the declared one.

    Raises:
        SettingsError: If the network fails, or its output has another shape than declared or is not finite.
    """
    classes, size = len(bundle.legend), declared_size(bundle, patch_px)
    # Random pixels: for zeros, logits can look like probabilities by chance.
    shape = (batch_size, len(bundle.bands), patch_px, patch_px)
    output = _run(network, bundle, torch.randn(shape, generator=torch.Generator().manual_seed(0)), device)
    returned = tuple(output.shape)
    # One channel is the probability of the second of two classes.
    channels = {1, classes} if classes == 2 and bundle.file.activation != "softmax" else {classes}
    if len(returned) != 4 or returned[0] != batch_size or returned[1] not in channels or max(returned[2:]) > patch_px:
        raise SettingsError(
            f"{bundle.artifact} returns shape {returned} for {batch_size} patches of {patch_px} px, but model.json "
            f"names {classes} classes, so ({batch_size}, {classes}, {patch_px}, {patch_px}) or a smaller map is "
            "expected. Correct classification:classes or dim_order in model.json."
        )
    if returned[2:] != (size, size):
        raise SettingsError(
            f"{bundle.artifact} returns maps of {returned[2]} x {returned[3]} px for patches of {patch_px} px, but its "
            f"model.json declares {size:g} x {size:g}. Correct mlm:output result.shape there. If the network gives "
            "smaller maps, which geoseg enlarges, write both sizes as numbers, that of mlm:input input.shape too."
        )
    if not torch.isfinite(output).all():
        raise SettingsError(
            f"{bundle.artifact} gives logits that are not finite (NaN or infinite) for random pixels around 0: its "
            "layers overflow. Export another checkpoint, or one that computes in float32."
        )
    contradiction = check_activation(output, bundle)
    return [] if contradiction is None else [contradiction]


def declared_size(bundle: Bundle, patch_px: int) -> float:
    """Side in pixels of the map that ``model.json`` declares for a patch size; -1 is the size of the patch."""
    patch, size = bundle.file.inputs[0].input.height, bundle.file.outputs[0].result.height
    if size == ANY_SIZE:
        return patch_px
    return size if patch == ANY_SIZE else size * patch_px / patch


def check_activation(output: Tensor, bundle: Bundle) -> str | None:
    """A warning if the output for random pixels, shape (N, K, h, w), contradicts the declared activation, else None."""
    values, activation = output.float(), bundle.file.activation
    low, high = values.min().item(), values.max().item()
    inside = low >= -TOLERANCE and high <= 1 + TOLERANCE
    one = inside and bool(((values.sum(1) - 1).abs() <= TOLERANCE).all())
    remedy = f"in {bundle.path / MODEL_FILE}"
    if activation == "none" and not inside:
        return (
            f"{bundle.artifact} gives values from {low:.3g} to {high:.3g}, which are no probabilities, but "
            "geoseg:activation is none: beyond 0 and 1 they are cut off, so most confidences would be 1. Set "
            f"geoseg:activation to softmax or sigmoid {remedy}."
        )
    if (activation == "softmax" and one) or (activation == "sigmoid" and inside):
        evidence = "sum to 1, so a softmax" if one else "lie within 0 and 1, so a softmax or sigmoid"
        return (
            f"{bundle.artifact} gives values that {evidence} was applied in the network already, but geoseg:activation "
            f"is {activation}, which flattens them: all confidences would be low. Set geoseg:activation to none "
            f"{remedy}."
        )
    return None


def keeps_patches_apart(network: Network, bundle: Bundle, batch_size: int, patch_px: int, device: torch.device) -> bool:
    """Return whether a patch's logits are bit-identical at any index of a batch and beside any other patches."""
    shape = (batch_size + 1, len(bundle.bands), patch_px, patch_px)
    patches = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    first = _run(network, bundle, patches[:-1], device)
    moved = _run(network, bundle, patches[1:].flip(0), device)
    return all(torch.equal(first[place], moved[-place]) for place in range(1, batch_size))


def measure_batch(network: Network, bundle: Bundle, batch_size: int, patch_px: int, device: torch.device) -> int:
    """Bytes that a CUDA device allocates for the forward pass of one batch, without the weights; 0 on a CPU.

    If the memory is not enough, one byte more than the device has.
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
    taken_bytes = torch.cuda.max_memory_allocated(device) - before
    if network.free_bytes is not None:  # memory of its own allocator, weights included
        taken_bytes = max(taken_bytes, network.free_bytes - torch.cuda.mem_get_info(device)[0])
    return taken_bytes


def _run(network: Network, bundle: Bundle, batch: Tensor, device: torch.device) -> Tensor:
    try:
        return network(batch.to(device, network.dtype))
    except Exception as error:  # any error of a foreign network is a fault of the bundle
        if isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error):
            raise SettingsError(
                f"{bundle.artifact} needs more memory than there is for {len(batch)} patches of {batch.shape[-1]} px "
                f"({one_line(error)}). Set run.batch_size or tiling.patch_px lower."
            ) from error
        raise SettingsError(
            f"{bundle.artifact} fails on patches of shape {tuple(batch.shape)}: {one_line(error)}. Check "
            f"tiling.patch_px, and input.shape, dim_order and geoseg:size_multiple in {bundle.path / MODEL_FILE}."
        ) from error
