"""Blend the logits of patches on the device, to the same integers as `geoseg.grid.blend`."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from geoseg.grid.blend import NO_SCORE, axis_weights
from geoseg.grid.decision import HIGHEST, SCORE_BITS, SCORE_ONE, Decision, compute_layer, unsure
from geoseg.grid.legend import NODATA_CLASS, NODATA_CONFIDENCE
from geoseg.grid.tiling import Lattice

Activation = Literal["softmax", "sigmoid", "none"]
STRIP_PIXELS = {"cpu": 1 << 16, "cuda": 1 << 24}
"""Pixels per step of `decide`: what fits into a CPU's cache, and what fully uses a GPU."""
CLASS_BITS = 8
"""Bits of a class id below a score."""


class Weights:
    """Weights of patches on the device: one map for each combination of scene edges that a patch touches."""

    def __init__(self, lattice: Lattice, device: torch.device) -> None:
        self.lattice, self._device = lattice, device
        self._maps: dict[tuple[bool, ...], Tensor] = {}

    def of(self, i: int, j: int) -> Tensor:
        """Weights of patch ``(i, j)`` times `SCORE_ONE`, float32 of shape (P, P)."""
        rows, cols = self.lattice.rows, self.lattice.cols
        edges = i == 0, i == rows.count - 1, j == 0, j == cols.count - 1
        if edges not in self._maps:
            weights = np.outer(axis_weights(rows, i), axis_weights(cols, j)) * SCORE_ONE
            self._maps[edges] = torch.from_numpy(weights.astype(np.float32)).to(self._device)
        return self._maps[edges]


def enlarge(logits: Tensor, patch_px: int) -> Tensor:
    """Logits of every pixel of a patch: float32, contiguous, shape (N, K, P, P).

    Args:
        logits: Output of the network, shape (N, K, h, w) with h and w of at most P, any float dtype and memory format.
        patch_px: Side P of a patch.
    """
    logits = logits.contiguous().float()
    if logits.shape[2:] == (patch_px, patch_px):
        return logits
    return torch.nn.functional.interpolate(logits, (patch_px, patch_px), mode="bilinear", align_corners=False)


def are_finite(values: Tensor) -> Tensor:
    """Return for each patch whether all its values are finite, shape (N,).

    Args:
        values: Any float dtype, shape (N, ...), fastest where it is contiguous.
    """
    # Minimum and maximum propagate NaN, and infinity is one of them; testing every value takes seven times as long.
    flat = values.flatten(1)
    # For a single patch, aminmax takes a quarter of the time in bfloat16 and the same in float32.
    low, high = torch.aminmax(flat) if len(flat) == 1 else (flat.amin(1), flat.amax(1))
    return (torch.isfinite(low) & torch.isfinite(high)).reshape(-1)


def activate(logits: Tensor, activation: Activation, classes: int) -> Tensor:
    """Convert logits to probabilities, float32 of shape (N, classes, P, P).

    Args:
        logits: float32, shape (N, K, P, P); K is ``classes``, or 1 for the second of two.
        activation: Activation that the bundle declares.
        classes: Number of classes.
    """
    match activation:
        case "softmax":
            probabilities = torch.softmax(logits, 1)
        case "sigmoid":
            probabilities = torch.sigmoid(logits)
        case "none":
            probabilities = logits.clamp(0, 1)
    return torch.cat([1 - probabilities, probabilities], 1) if probabilities.shape[1] < classes else probabilities


def add_patch(scores: Tensor, probabilities: Tensor, weights: Tensor, known: Tensor | None) -> None:
    """Add the quantised weight times probability of a patch to the scores there, in place.

    Args:
        scores: Fixed point, int32 of shape (C, P, P).
        probabilities: float32 of the same shape; overwritten.
        weights: As of `Weights.of`, shape (P, P).
        known: False where the patch has no scores, shape (P, P); None if it has all.
    """
    quantised = probabilities.mul_(weights).round_().to(torch.int32)
    scores.add_(quantised if known is None else torch.where(known, quantised, NO_SCORE))


def decide(scores: Tensor, valid: Tensor | None, decision: Decision) -> tuple[Tensor, Tensor, list[Tensor]]:
    """`geoseg.grid.blend.decide` on the device: classes and confidence, uint8 of shape (H, W), and the layers.

    Args:
        scores: Fixed point, int32 of shape (C, H, W).
        valid: True where the scene is valid, shape (H, W); None if it is everywhere.
        decision: What is decided from scores.
    """
    shape = scores.shape[1], scores.shape[2]
    shapes = [shape, shape, *(decision.shape(name, shape) for name in decision.layers)]
    classes, confidence, *layers = (torch.empty(one, dtype=torch.uint8, device=scores.device) for one in shapes)
    rows = max(1, STRIP_PIXELS[scores.device.type] // max(1, shape[1]))
    for start in range(0, shape[0], rows):
        part = slice(start, start + rows)
        best = _best(scores[:, part])
        unknown = best < 0 if valid is None else (best < 0) | ~valid[part]
        winner = HIGHEST - (best & HIGHEST)
        if decision.limits:
            winner = unsure(winner, best >> CLASS_BITS, decision, torch)
        classes[part] = winner.masked_fill_(unknown, NODATA_CLASS)
        best = (best >> CLASS_BITS).mul_(HIGHEST).add_(SCORE_ONE // 2).bitwise_right_shift_(SCORE_BITS)
        confidence[part] = best.clamp_(1, HIGHEST).masked_fill_(unknown, NODATA_CONFIDENCE)
        for name, layer in zip(decision.layers, layers, strict=True):
            layer[..., part, :] = compute_layer(name, scores[:, part], ~unknown, torch)
    return classes, confidence, layers


def _best(scores: Tensor) -> Tensor:
    """The highest score with its class in the lowest bits, inverted, so that a single maximum also resolves ties."""
    best = (scores[0] << CLASS_BITS).add_(HIGHEST)
    for index in range(1, len(scores)):
        torch.maximum(best, (scores[index] << CLASS_BITS).add_(HIGHEST - index), out=best)
    return best
