"""Blend overlapping patches with integer scores, so that the order of additions cannot change the result.

A pixel's score for a class is the sum over the patches that cover it of ``round(weight * probability * 2**20)``. The
weights of a pixel add up to one, so the sum is its blended probability in fixed point. Integer addition is associative,
so the scores do not depend on blocks, workers, order of completion or retries.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.grid.decision import SCORE_BITS, SCORE_ONE, Decision, compute_layer, unsure
from geoseg.grid.legend import NODATA_CLASS, NODATA_CONFIDENCE
from geoseg.grid.tiling import Axis, Block, Tiling
from geoseg.grid.window import Window

NO_SCORE = -(1 << 21)
"""Score where a patch has no result. With three other patches added the sum is still negative, and times 256 it fits in
int32."""


@dataclass(frozen=True, slots=True)
class Strip:
    """Scores of a rectangle: spill for a neighbour, or own scores to which a neighbour's spill will be added."""

    window: Window
    """Pixels of the scene."""
    scores: NDArray[np.int32]
    """Fixed point, shape (C, H, W) of ``window``; ``SCORE_ONE`` is probability 1."""


@dataclass(frozen=True, slots=True)
class ClassMap:
    """Final classes and confidence of a window."""

    window: Window
    """Pixels of the scene."""
    classes: NDArray[np.uint8]
    """Class ids, shape (H, W); 255 where the scene is not valid."""
    confidence: NDArray[np.uint8]
    """Blended probability of the class times 255, 1..255, shape (H, W); 0 where the scene is not valid."""
    layers: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """Further rasters by name, see `geoseg.grid.decision.LAYERS` and `geoseg.grid.fusion.DATES`."""


@dataclass(frozen=True, slots=True)
class BlockScores:
    """Result of a block's own patches, before the spill of its neighbours is added."""

    decided: ClassMap
    """The block's core. In the bands only the validity is final: 255 is not valid, any other class is a placeholder."""
    bands: tuple[Strip, ...]
    """Own scores of the bands that neighbours spill into, see `band_windows`."""


@dataclass(frozen=True, slots=True)
class Spill:
    """Scores that a block computes for its neighbours; None where the scene ends."""

    east: Strip | None
    south: Strip | None
    south_east: Strip | None


def axis_weights(axis: Axis, index: int) -> NDArray[np.float64]:
    """Weights of a patch along one axis, shape (patch_px,).

    A raised cosine over each overlap, sampled at pixel centres so that it is never zero. Elsewhere the weight is one,
    also at the edges of the scene. For every pixel of the scene ``sum(weights over the lattice) == 1``.
    """
    weights = np.ones(axis.patch_px)
    ramp = np.sin(np.pi / 2 * (np.arange(axis.overlap_px) + 0.5) / max(1, axis.overlap_px)) ** 2
    if index > 0:
        weights[: axis.overlap_px] = ramp
    if index < axis.count - 1:
        weights[axis.stride_px :] = 1 - ramp
    return weights


def reflect_indices(size: int, length: int) -> NDArray[np.intp]:
    """Indices 0..size-1 that extend an axis to ``length`` pixels by repeated reflection: ``0 1 2 1 0 1 2 ...``.

    The edge pixel is not repeated. A patch that extends beyond the scene is filled from its own pixels only, so its
    content does not depend on the block.
    """
    if size == 1:
        return np.zeros(length, np.intp)
    period = 2 * (size - 1)
    position = np.arange(length) % period
    return np.minimum(position, period - position)


def band_windows(block: Block, overlap_px: int) -> tuple[Window, ...]:
    """Parts of the block's core that neighbours spill into: north band, then west band. They do not overlap."""
    core, bands = block.core, []
    north = min(overlap_px, core.height) if block.row else 0
    west = min(overlap_px, core.width) if block.col else 0
    if north:
        bands.append(Window(core.row, core.col, north, core.width))
    if west and core.height > north:
        bands.append(Window(core.row + north, core.col, core.height - north, west))
    return tuple(bands)


def spill_windows(tiling: Tiling, block: Block) -> tuple[Window | None, Window | None, Window | None]:
    """Parts of the east, south and south-east neighbours that the block's patches cover."""
    core, scene, overlap = block.core, tiling.lattice.scene, tiling.lattice.rows.overlap_px
    if not block.patch_count or not overlap:
        return None, None, None
    east = Window(core.row, core.col_stop, core.height, overlap).intersect(scene)
    south = Window(core.row_stop, core.col, overlap, core.width).intersect(scene)
    south_east = Window(core.row_stop, core.col_stop, overlap, overlap).intersect(scene)
    return east, south, south_east


def decide(
    scores: NDArray[np.int32], valid: NDArray[np.bool_], decision: Decision | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Choose the class with the highest score, the lowest id on ties; nodata where all are negative (`NO_SCORE`).

    Args:
        scores: Fixed point, shape (C, H, W).
        valid: True where the scene is valid, shape (H, W).
        decision: Limits below which a pixel is unsure; None for none.

    Returns:
        Classes and confidence, each uint8 of shape (H, W), with their nodata values where not valid.
    """
    best = scores[0].copy()
    classes = np.zeros(best.shape, np.uint8)
    for index in range(1, len(scores)):
        better = scores[index] > best
        classes[better] = index
        np.maximum(best, scores[index], out=best)
    if decision is not None and decision.limits:
        classes = unsure(classes, best, decision, np)
    valid = valid & (best >= 0)
    confidence = np.where(valid, to_confidence(best), NODATA_CONFIDENCE).astype(np.uint8)
    return np.where(valid, classes, NODATA_CLASS).astype(np.uint8), confidence


def to_confidence(best: NDArray[np.int32]) -> NDArray[np.int32]:
    """Confidence, 1..255, of the score of the winning class."""
    return np.asarray(np.clip((np.maximum(best, 0) * 255 + SCORE_ONE // 2) >> SCORE_BITS, 1, 255))


def unscored(block: Block, valid: NDArray[np.bool_]) -> BlockScores:
    """Scores of a block of which no patch went through the model: all its classes come from the neighbours' spill.

    Args:
        block: The block; every valid pixel of its core lies in a band.
        valid: True where the scene is valid, shape of ``block.core``.
    """
    classes = np.where(valid, 0, NODATA_CLASS).astype(np.uint8)
    return BlockScores(ClassMap(block.core, classes, np.zeros_like(classes)), ())


def finish(own: BlockScores, bands: Sequence[Window], incoming: Sequence[Strip], decision: Decision) -> ClassMap:
    """Decide the bands of a block from its own scores and its neighbours' spill.

    Args:
        own: Result of the block's own patches.
        bands: The windows that are not final in ``own``, see `band_windows`.
        incoming: Spill of the west, north and north-west blocks, in any order.
        decision: What is decided from scores.

    Raises:
        ValueError: If a strip holds pixels outside the bands.
    """
    decided = own.decided
    classes, confidence = decided.classes.copy(), decided.confidence.copy()
    layers = {name: _layer(decided, name, decision) for name in decision.layers}
    for band in bands:
        scores = np.zeros((decision.channels, *band.shape), np.int32)
        for strip in (*own.bands, *incoming):
            add_strip(scores, band, strip)
        at = band.slices(decided.window)
        classes[at], confidence[at] = decide(scores, decided.classes[at] != NODATA_CLASS, decision)
        for name, layer in layers.items():
            layer[..., *at] = compute_layer(name, scores, classes[at] != NODATA_CLASS, np)
    covered = sum(common.pixels for s in incoming for b in bands if (common := s.window.intersect(b)))
    if covered != sum(strip.window.pixels for strip in incoming):
        raise ValueError(f"A strip of {[str(s.window) for s in incoming]} reaches outside {[str(b) for b in bands]}.")
    return ClassMap(decided.window, classes, confidence, layers)


def _layer(decided: ClassMap, name: str, decision: Decision) -> NDArray[np.uint8]:
    """A copy of a layer; zeros for a block without scores of its own."""
    if name in decided.layers:
        return decided.layers[name].copy()
    return np.zeros(decision.shape(name, decided.window.shape), np.uint8)


def add_strip(scores: NDArray[np.int32], window: Window, strip: Strip) -> None:
    """Add the strip's scores to those of ``window`` where the two overlap, in place."""
    common = strip.window.intersect(window)
    if common is not None:
        scores[(slice(None), *common.slices(window))] += strip.scores[(slice(None), *common.slices(strip.window))]
