"""The stages of a block after reading: predict it and finish it; or take over its published pixels.

Pixels and scores are passed from one unit to the next in memory. What other blocks need of a finished block is in the
store.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from geoseg import faults
from geoseg.grid.blend import ClassMap, Spill, band_windows, finish
from geoseg.grid.decision import SUMMED, summed_planes
from geoseg.grid.neighbours import NEIGHBOUR_STEPS, SPILL_STEPS, blocks_at
from geoseg.grid.smoothing import add_edges, smooth, take_edges
from geoseg.grid.tiling import Block
from geoseg.plan.scene_plan import ScenePlan
from geoseg.publish.geodesy.pixel_area import add_areas, pixel_area
from geoseg.raster.losses import Losses
from geoseg.stages.metrics import UnitMetrics, UnitTimer
from geoseg.stages.reading import BlockPixels, Scored
from geoseg.store.scene_store import BLOCKS, SMOOTHED
from geoseg.vector.blocks import BlockLabels, label_block
from geoseg.vector.not_dissolved import split_at_grid

if TYPE_CHECKING:  # only processes with a model import torch
    from geoseg.model.predictor import Predictor


def predict_block(
    predictor: "Predictor", plan: ScenePlan, block: Block, read: BlockPixels
) -> tuple[UnitMetrics, Scored]:
    """Run the model on the block's patches and blend them.

    Raises:
        SceneError: If scaled pixels or logits of a patch are not finite.
    """
    faults.hit("predict", "start", block.name)
    timer = UnitTimer("predict")
    result = predictor.predict(plan.tiling, block, read.pixels, read.valid, plan.scene.path, wanted=read.wanted)
    faults.hit("predict", "end", block.name)
    notes = tuple(
        f"{plan.scene.path}: {reason} in {patch}, nodata there."
        for reason, patch in zip(result.reasons, result.not_finite, strict=True)
    )
    metrics = timer.metrics(patches=result.patches, forward_s=result.forward_s)
    return metrics, Scored(result.scores, result.spill, (*read.notes, *notes), read.losses)


def finish_block(plan: ScenePlan, block: Block, scored: Scored) -> UnitMetrics:
    """Add the neighbours' spill, decide the bands, and store the finished block, its components and its strips.

    If classes are smoothed, its edges are stored instead of the components.

    The west, north and north-west neighbours must be finished: their strips are in the store.
    """
    faults.hit("finish", "start", block.name)
    timer = UnitTimer("finish")
    bands = band_windows(block, plan.tiling.lattice.rows.overlap_px)
    spill = plan.store.take_spill(blocks_at(plan.tiling, block, SPILL_STEPS))
    class_map = finish(scored.scores, bands, spill, plan.decision)
    return store_finished(plan, block, timer, class_map, scored.spill, notes=scored.notes, losses=scored.losses)


def store_finished(
    plan: ScenePlan,
    block: Block,
    timer: UnitTimer,
    class_map: ClassMap,
    spill: Spill,
    *,
    notes: tuple[str, ...],
    losses: Losses,
) -> UnitMetrics:
    """Store a finished block with its components, or its edges if classes are smoothed, and its strips."""
    labels = None if plan.smoothing_px else find_labels(plan, class_map)
    facts: dict[str, Any] = {
        "valid_pixels": int(np.count_nonzero(class_map.confidence)),
        "components": count_components(plan, labels),
        "notes": notes,
        "losses": losses,
    }
    after = take_edges(class_map.classes, plan.smoothing_px) if plan.smoothing_px else labels
    stored_bytes = plan.store.put_finished(block, class_map, spill, after, facts)
    faults.hit("finish", "end", block.name)
    return timer.metrics(bytes=stored_bytes, **facts)


def smooth_block(plan: ScenePlan, block: Block) -> UnitMetrics:
    """Give pixels of a block the most frequent class around them, and store classes and components.

    All neighbours must be finished: their edges are in the store.
    """
    faults.hit("smooth", "start", block.name)
    timer = UnitTimer("trace")
    if plan.store.is_blank(block):
        return timer.metrics(bytes=plan.store.put_empty(SMOOTHED, block, components=0))
    around = plan.store.edges(blocks_at(plan.tiling, block, NEIGHBOUR_STEPS))
    found = stored_pixels(plan, block)
    classes = smooth(add_edges(found.classes, around, plan.smoothing_px), plan.smoothing_px)
    labels = find_labels(plan, replace(found, classes=classes))
    count = count_components(plan, labels)
    stored_bytes = plan.store.put_smoothed(block, classes, labels, {"components": count})
    faults.hit("smooth", "end", block.name)
    return timer.metrics(bytes=stored_bytes, components=count)


def reuse_block(plan: ScenePlan, block: Block) -> UnitMetrics:
    """Store the components of a block whose pixels are published; the pixels stay where they are."""
    faults.hit("reuse", "start", block.name)
    timer = UnitTimer("reuse")
    class_map = stored_pixels(plan, block)
    valid_pixels = int(np.count_nonzero(class_map.confidence))
    labels = find_labels(plan, class_map) if valid_pixels else None
    facts: dict[str, Any] = {"valid_pixels": valid_pixels, "components": count_components(plan, labels)}
    facts |= {"notes": (), "losses": {}}
    stored_bytes = plan.store.put_labels(BLOCKS, block, labels, **facts)
    faults.hit("reuse", "end", block.name)
    return timer.metrics(bytes=stored_bytes, **facts)


def stored_pixels(plan: ScenePlan, block: Block, classes: NDArray[np.uint8] | None = None) -> ClassMap:
    """Classes and confidence of a finished block, and the layers of which polygons have sums.

    Args:
        plan: Of the scene.
        block: The block.
        classes: Used instead of the stored classes, which are those before smoothing.
    """
    if plan.reused is not None:
        found = plan.reused.read(block, plan.decision.layers)
        return found if classes is None else replace(found, classes=classes)
    store, names = plan.store, [name for name in SUMMED if name in plan.decision.layers]
    layers = {name: store.layer(block, name, plan.decision) for name in names}
    classes = store.classes(block, smoothed=False) if classes is None else classes
    return ClassMap(block.core, classes, store.confidence(block), layers)


def count_components(plan: ScenePlan, labels: BlockLabels | None) -> int:
    """Number of components of a block; raises SceneError if they are too many."""
    count = 0 if labels is None else len(labels.components)
    plan.polygons.check_count(count, plan.scene.path, block=True)
    return count


def find_labels(plan: ScenePlan, class_map: ClassMap) -> BlockLabels | None:
    """Find the components of a block, from its final class map or from the one after the minimum area.

    Returns:
        None if the scene gets no polygons.
    """
    if not plan.has_polygons:
        return None
    classes = split_at_grid(class_map.classes, class_map.window, plan.cut_px, plan.polygons.not_dissolved)
    planes = summed_planes(class_map.layers)
    labels = label_block(classes, class_map.confidence, class_map.window, plan.scene.grid.width, planes)
    return add_areas(labels, pixel_area(plan.scene.grid))
