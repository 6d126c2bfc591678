"""What is decided from the integer scores of a pixel beside its class and confidence.

Everything is integer arithmetic, written once for numpy and torch, so that it is equal on every device: it depends on
the blocks which of their pixels are decided on a GPU.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

SCORE_BITS = 20
SCORE_ONE = 1 << SCORE_BITS
"""Score of probability 1. The sum of four patches leaves eight bits of int32 free, which `geoseg.grid.blend` needs."""
HIGHEST = 255
"""Largest value of a layer."""
CONFIDENCE = "confidence"
"""Name of the raster that every block has beside its class map."""
PROBABILITIES, MARGIN, ENTROPY = "probabilities", "margin", "entropy"
LAYERS = (PROBABILITIES, MARGIN, ENTROPY)
"""Layers of a block, uint8: 0 where it is not valid, elsewhere 1..255.

probabilities: of each class times 255, shape (C, H, W); the largest is the confidence. margin: difference of the two
largest, times 255. entropy: of the probabilities, divided by that of equal ones, times 255.
"""
SUMMED = (PROBABILITIES, MARGIN)
"""Layers of which polygons have sums over their pixels."""
SHARE_BITS = 16
"""Bits of a probability in the table of the entropy; its error is below one of 255 steps."""

Array = Any
"""An array of numpy or of torch."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is decided from scores."""

    channels: int
    """Number of scores C of a pixel: the classes of the model."""
    layers: tuple[str, ...] = ()
    """Those of `LAYERS` that are computed."""
    limits: tuple[int, ...] = ()
    """Least score of the winning class, for each class; below it a pixel is unsure, class C. Empty: none is."""

    @property
    def planes(self) -> int:
        """Bytes of a pixel in all layers."""
        return sum(self.channels if layer == PROBABILITIES else 1 for layer in self.layers)

    def shape(self, layer: str, shape: tuple[int, int]) -> tuple[int, ...]:
        """Shape of a layer of ``shape`` pixels."""
        return (self.channels, *shape) if layer == PROBABILITIES else shape


def summed_planes(layers: Mapping[str, NDArray[np.uint8]]) -> NDArray[np.uint8] | None:
    """The planes of `SUMMED` in that order, shape (L, H, W); None if none of them is given."""
    planes = [layers[name] for name in SUMMED if name in layers]
    return np.concatenate([plane.reshape(-1, *plane.shape[-2:]) for plane in planes]) if planes else None


def unsure(classes: Array, best: Array, decision: Decision, xp: Any) -> Array:
    """Replace the class by C where its score is below the limit.

    Args:
        classes: Class ids below C, shape (H, W), of any integer type.
        best: Their scores, fixed point, shape (H, W).
        decision: The limits, at least one.
        xp: The module of the arrays: numpy or torch.
    """
    limits = xp.asarray(np.array(decision.limits, np.int32), device=best.device)
    return xp.where(best < limits[xp.asarray(classes, dtype=xp.int64)], decision.channels, classes)


def compute_layer(name: str, scores: Array, valid: Array, xp: Any) -> Array:
    """One layer of scores.

    Args:
        name: One of `LAYERS`.
        scores: Fixed point, int32 of shape (C, H, W); at least 0 where valid.
        valid: True where the pixel has scores, shape (H, W).
        xp: The module of the arrays: numpy or torch.

    Returns:
        uint8, of the shape of the layer.
    """
    if name == PROBABILITIES:
        values = _to_byte(scores, SCORE_BITS)
    elif name == MARGIN:
        values = _to_byte(_margin(scores, xp), SCORE_BITS)
    else:
        values = _to_byte(_entropy(scores, xp), SHARE_BITS)
    return xp.asarray(xp.clip(values, 1, HIGHEST) * valid, dtype=xp.uint8)


def _to_byte(values: Array, bits: int) -> Array:
    """Fixed point to 0..255, rounded."""
    return (values * HIGHEST + (1 << (bits - 1))) >> bits


def _margin(scores: Array, xp: Any) -> Array:
    best, second = scores[0], scores[0] * 0
    for index in range(1, len(scores)):
        second = xp.maximum(second, xp.minimum(best, scores[index]))
        best = xp.maximum(best, scores[index])
    return best - second


def _entropy(scores: Array, xp: Any) -> Array:
    """Entropy in fixed point of `SHARE_BITS`, relative to that of equal probabilities."""
    wide = xp.clip(xp.asarray(scores, dtype=xp.int64), 0, None)
    total = xp.clip(wide.sum(0), 1, None)
    table = xp.asarray(_surprise(len(scores)), device=scores.device)
    return sum(table[(share << SHARE_BITS) // total] for share in wide)


@cache
def _surprise(classes: int) -> NDArray[np.int64]:
    """``-p * log(p) / log(classes)`` of all shares p, in fixed point."""
    share = np.arange(1, (1 << SHARE_BITS) + 1) / (1 << SHARE_BITS)
    entropy = -share * np.log(share) / np.log(max(2, classes))
    return np.concatenate([[0], np.rint(entropy * (1 << SHARE_BITS))]).astype(np.int64)
