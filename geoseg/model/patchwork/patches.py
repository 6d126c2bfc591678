"""Cut a block on the device into batches of patches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from geoseg.grid.blend import reflect_indices
from geoseg.grid.window import Window

Scale = Callable[[Tensor], Tensor]
"""Scales raw float32 values for the network, shape (N, C, H, W), pixel by pixel."""


@dataclass(frozen=True, slots=True)
class RawBlock:
    """A block of raw pixels on the device."""

    window: Window
    """Pixels of the scene."""
    pixels: Tensor
    """Raw values in the file's dtype, shape (C, H, W) of ``window``."""
    valid: Tensor | None = None
    """True where the scene is valid, shape (H, W); None if it is everywhere."""
    wanted: Tensor | None = None
    """True where a pixel gets a class, shape (H, W); None if all do."""

    def valid_in(self, window: Window) -> Tensor | None:
        """``valid`` of a part of the block."""
        return None if self.valid is None else self.valid[window.slices(self.window)]

    def wanted_in(self, window: Window) -> Tensor | None:
        """``wanted`` of a part of the block."""
        return None if self.wanted is None else self.wanted[window.slices(self.window)]


def cut_batch(
    block: RawBlock, patches: Sequence[Window], scene: Window, scale: Scale, fill: float, batch: Tensor
) -> None:
    """Write scaled patches to the first entries of a batch; fill invalid pixels, reflect beyond the scene's edge.

    Args:
        block: The block that holds the patches.
        patches: Windows of at most N patches.
        scene: Window of the scene; a patch that extends beyond it is continued by reflection of its own pixels.
        scale: Scaling of the model.
        fill: Scaled value of invalid pixels.
        batch: Input of the network, shape (N, C, P, P), any float dtype and memory format; modified.
    """
    raw = torch.empty((len(patches), *batch.shape[1:]), device=batch.device)
    keep = [_cut(block, patch, scene, raw[place]) for place, patch in enumerate(patches)]
    for group in work_groups(len(patches), batch.device):
        batch[: len(patches)][group].copy_(scale(raw[group]))
    for place, valid in enumerate(keep):
        if valid is not None:
            batch[place].masked_fill_(~valid, fill)


def fill_not_finite(patch: Tensor, fill: float) -> Tensor:
    """Fill pixels that have a NaN or infinite value, in place, so that the network does not spread them.

    Args:
        patch: Scaled pixels, shape (C, P, P).
        fill: Value for all bands of these pixels.

    Returns:
        False at these pixels, shape (P, P).
    """
    finite = torch.isfinite(patch).all(0)
    patch.masked_fill_(~finite, fill)
    return finite


def work_groups(count: int, device: torch.device) -> list[slice]:
    """Parts of a batch that are processed together.

    On a CPU each patch is processed separately: vectorised functions may round differently at the end of an array, and
    a pixel's value must not depend on its index in a batch.
    """
    return [slice(0, count)] if device.type == "cuda" else [slice(place, place + 1) for place in range(count)]


def _cut(block: RawBlock, patch: Window, scene: Window, raw: Tensor) -> Tensor | None:
    """Copy a patch from a block to ``raw``, float32 of shape (C, P, P); returns its validity, None if all is valid."""
    inside = patch.intersect(scene)
    if inside is None:
        raise ValueError(f"Patch {patch} lies outside the scene {scene}.")
    pixels, valid = block.pixels[(slice(None), *inside.slices(block.window))], block.valid_in(inside)
    if inside == patch:
        raw.copy_(pixels)
        return valid
    rows, cols = (
        torch.from_numpy(reflect_indices(size, length)).to(raw.device)
        for size, length in ((inside.height, patch.height), (inside.width, patch.width))
    )
    raw.copy_(pixels.to(torch.float32)[:, rows][:, :, cols])
    return None if valid is None else valid[rows][:, cols]
