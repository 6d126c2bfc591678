"""Apply a bundle's scaling to tensors."""

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from geoseg.model.bundle.scaling import Step, apply_steps


def scale_pixels(pixels: Tensor, steps: Sequence[Step]) -> Tensor:
    """Apply the steps in their order.

    Args:
        pixels: float32, shape (..., C, H, W).
        steps: The chain; a list in a step gives one number for each of the C bands.

    Returns:
        float32, of the same shape. Not finite where a step has no value, such as the logarithm of less than -1.
    """
    scaled: Tensor = apply_steps(
        pixels, steps, torch, lambda numbers: _column(tuple(numbers), pixels.dtype, pixels.device)
    )
    return scaled


@cache
def _column(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Shape (C, 1, 1) or (1, 1, 1). Cached, since a copy from the host makes a GPU finish all queued work first."""
    with torch.inference_mode(mode=False):
        return torch.tensor(values, dtype=dtype, device=device)[:, None, None]
