"""A chain of scaling steps as one multiplication and one addition for each band."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoseg.model.bundle.scaling import Clip, Log1p, Sigmoid, Step, apply_steps


class Affine(NamedTuple):
    """``x * scale + offset``, with one number for each band; no scale is 0."""

    scale: NDArray[np.float64]
    offset: NDArray[np.float64]

    @property
    def zero(self) -> NDArray[np.float64]:
        """The pixels that become 0."""
        return -self.offset / self.scale


def as_affine(steps: Sequence[Step], bands: int) -> Affine | None:
    """Return what the steps do together, or None if that is not affine.

    Args:
        steps: The chain.
        bands: Number of bands.
    """
    if any(isinstance(step, Clip | Log1p | Sigmoid) for step in steps):
        return None
    zero_and_one = np.stack([np.zeros(bands), np.ones(bands)], axis=1)
    low, high = apply_steps(zero_and_one, steps, np, lambda numbers: np.array(numbers, np.float64)[:, None]).T
    return None if np.any(high == low) else Affine(high - low, low)
