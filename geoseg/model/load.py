"""Load a bundle into a predictor and check it."""

from collections.abc import Callable
from functools import partial

import torch

from geoseg.errors import SettingsError
from geoseg.grid.decision import Decision
from geoseg.model.bundle.bundle import Bundle
from geoseg.model.bundle.files import MODEL_FILE
from geoseg.model.device import open_device
from geoseg.model.dry_run import check_output, keeps_patches_apart, measure_batch
from geoseg.model.finite import explain_not_finite
from geoseg.model.inference import Inference, check_options
from geoseg.model.network import load_network
from geoseg.model.patchwork.options import PLAIN
from geoseg.model.patchwork.protocol import Network
from geoseg.model.patchwork.views import Views
from geoseg.model.predictor import Predictor, Task, fix_arithmetic
from geoseg.model.scale import scale_pixels

BATCH_PIXELS = 1 << 22
"""Pixels of a batch that fully use any GPU; more only take memory."""
BATCH_MEMORY_SHARE = 0.4
"""Maximum share of a GPU's memory for the forward pass of a batch."""


def start_predictor(bundle: Bundle, inference: Inference) -> Predictor:
    """Load a bundle's network and check it with forward passes.

    Raises:
        SettingsError: If the device is missing, or the artifact cannot be loaded or contradicts its ``model.json``.
    """
    device = open_device(inference.device)
    fix_arithmetic(inference.threads)
    loaded = load_network(bundle, device, inference.threads, inference.precision)
    network = _with_options(loaded, bundle, inference, device)
    measure = partial(measure_batch, network, bundle, patch_px=inference.patch_px, device=device)
    batch_size = network.fixed_batch or inference.batch_size
    if batch_size is None and device.type == "cpu":
        batch_size = 1  # larger batches exceed the CPU caches, and a batch of one keeps patches independent
    elif batch_size is None:
        limit_bytes = BATCH_MEMORY_SHARE * torch.cuda.get_device_properties(device).total_memory
        batch_size = choose_batch(inference.patch_px, limit_bytes, measure)
    warnings = check_output(loaded, bundle, batch_size, inference.patch_px, device)
    if batch_size > 1 and not keeps_patches_apart(network, bundle, batch_size, inference.patch_px, device):
        # Logits would depend on how blocks group patches; in batches of one they cannot.
        if network.fixed_batch:
            raise SettingsError(
                f"{bundle.artifact} takes batches of {network.fixed_batch} alone and lets patches of a batch "
                "change each other's logits. Export it with a batch of any size or of 1."
            )
        batch_size = 1
    weights_bytes = torch.cuda.memory_allocated(device) if device.type == "cuda" else 0
    network_bytes = weights_bytes + measure(batch_size)
    task = Task(
        name=bundle.name,
        described_in=str(bundle.path / MODEL_FILE),
        decision=inference.decision or Decision(len(bundle.legend)),
        activation=bundle.file.activation if network is loaded else "none",
        scale=partial(scale_pixels, steps=bundle.file.scaling),
        explain=partial(explain_not_finite, bands=bundle.bands, steps=bundle.file.scaling),
        fill=bundle.file.nodata_fill,
        patch_px=inference.patch_px,
        batch_size=batch_size,
        threads=inference.threads,
        on_nonfinite=inference.on_nonfinite,
        network_bytes=network_bytes,
        warnings=tuple(warnings),
    )
    return Predictor(network, task, device)


def _with_options(network: Network, bundle: Bundle, inference: Inference, device: torch.device) -> Network:
    """Put the options of the settings around a network, which then gives probabilities; without any, the network.

    Raises:
        SettingsError: If the network does not take patches of one of the scales.
    """
    options, patch_px = inference.options, inference.patch_px
    if options == PLAIN:
        return network
    check_options(options, bundle, patch_px)
    sides_px = options.sides_px(patch_px, bundle.file.size_multiple)
    for scale, side_px in zip(options.scales, sides_px, strict=True):
        if side_px == patch_px:
            continue  # is checked without options too
        try:
            check_output(network, bundle, network.fixed_batch or 1, side_px, device)
        except SettingsError as error:
            raise SettingsError(f"inference.scales: at {scale:g}, {error} Or leave this scale out.") from error
    return Views(network, options, sides_px, bundle.file.activation, len(bundle.legend))


def choose_batch(patch_px: int, limit_bytes: float, measure: Callable[[int], int]) -> int:
    """Find the largest useful batch size that fits into memory, by doubling.

    The criterion is memory and not time: timings vary, and another batch size may change the last bit of a logit.

    Args:
        patch_px: Side of a patch.
        limit_bytes: Memory limit for the forward pass of a batch.
        measure: Returns the memory of a batch of a given size.
    """
    count = 1
    while 2 * count * patch_px**2 <= BATCH_PIXELS and measure(2 * count) <= limit_bytes:
        count *= 2
    return count
