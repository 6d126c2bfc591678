"""Sum the scores of several dates, and decide from the sums.

Each date gives scores to the pixels that are valid on it, as `geoseg.grid.blend` blends them. They are added before the
decision. Integer addition is associative, so neither the order of the dates nor the blocks change a bit. The class is
the one with the largest sum; all else is decided from the mean score of the dates that count.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from geoseg.grid.blend import ClassMap, Spill, Strip, add_strip, spill_windows, to_confidence
from geoseg.grid.decision import SCORE_ONE, Decision, compute_layer, unsure
from geoseg.grid.legend import NODATA_CLASS, NODATA_CONFIDENCE
from geoseg.grid.tiling import Block, Tiling
from geoseg.grid.window import Window

DATES = "dates"
"""Name of the raster with the number of dates that count at a pixel, uint16; 0 where none does."""
MAX_DATES = (1 << 31) // SCORE_ONE - 1
"""The sums must fit into int32. Scores of a date add up to at most `SCORE_ONE` and 2 of rounding."""


@dataclass(frozen=True, slots=True)
class Fused:
    """What the own patches of a block give on some dates."""

    count: NDArray[np.uint16]
    """Dates on which a pixel is valid, shape of the block's core."""
    scores: NDArray[np.int32] | None = None
    """Sums of fixed-point scores, 0 on dates on which a pixel is not valid; shape (C, H, W) of ``block.read``. None if
    no patch of the block has a valid pixel."""
    losses: dict[str, int] = field(default_factory=dict)
    """Why pixels are not valid, summed over the dates."""
    notes: tuple[str, ...] = ()
    """Sentences for the report."""

    def __add__(self, other: "Fused") -> "Fused":
        """Both together."""
        scores = [one.scores for one in (self, other) if one.scores is not None]
        losses = {key: self.losses.get(key, 0) + other.losses.get(key, 0) for key in {**self.losses, **other.losses}}
        return Fused(
            self.count + other.count, sum(scores[1:], scores[0]) if scores else None, losses, self.notes + other.notes
        )


def fused_spill(fused: Fused, tiling: Tiling, block: Block) -> Spill:
    """What a block gives to its neighbours."""
    if fused.scores is None:
        return Spill(None, None, None)
    scores = fused.scores
    return Spill(
        *(
            None if window is None else Strip(window, np.ascontiguousarray(scores[:, *window.slices(block.read)]))
            for window in spill_windows(tiling, block)
        )
    )


def finish_fused(fused: Fused, block: Block, incoming: Sequence[Strip], decision: Decision) -> ClassMap:
    """Decide all pixels of a block from the sums of its own patches and its neighbours' spill.

    Args:
        fused: Of all dates of the block.
        block: The block.
        incoming: Spill of the west, north and north-west blocks, in any order.
        decision: What is decided from scores.
    """
    core = block.core
    scores = np.zeros((decision.channels, *core.shape), np.int32)
    if fused.scores is not None:
        scores += fused.scores[:, *core.slices(block.read)]
    for strip in incoming:
        add_strip(scores, core, strip)
    best, classes = scores[0].copy(), np.zeros(core.shape, np.uint8)
    for index in range(1, len(scores)):
        classes[scores[index] > best] = index  # the lowest id on ties
        np.maximum(best, scores[index], out=best)
    valid, best = fused.count > 0, mean_scores(best, fused.count)
    if decision.limits:
        classes = unsure(classes, best, decision, np)
    confidence = np.where(valid, to_confidence(best), NODATA_CONFIDENCE)
    means = mean_scores(scores, fused.count) if decision.layers else scores
    layers = {name: compute_layer(name, means, valid, np) for name in decision.layers}
    classes = np.where(valid, classes, NODATA_CLASS).astype(np.uint8)
    return ClassMap(core, classes, confidence.astype(np.uint8), {**layers, DATES: fused.count})


def mean_scores(sums: NDArray[np.int32], count: NDArray[np.uint16]) -> NDArray[np.int32]:
    """Sums divided by the number of dates, rounded; where it is 0 they stay as they are."""
    number = np.maximum(count, np.uint16(1)).astype(np.int32)
    return np.asarray((sums + number // 2) // number)


def no_date(core: Window) -> Fused:
    """Of no date."""
    return Fused(np.zeros(core.shape, np.uint16))
