"""The stages of a run as plain functions. They know nothing of Ray; all executors call these.

A block is read, predicted and finished in a chain, and pixels and scores travel from one unit to the next. What a
finished block has to say to others lies in the store.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from geoseg import faults
from geoseg.grid.blend import BlockScores, ClassMap, Spill, band_windows, finish, unscored
from geoseg.grid.neighbours import BEFORE, blocks_at
from geoseg.grid.tiling import Block, valid_patches
from geoseg.plan.scene_plan import ScenePlan
from geoseg.publish.geodesy.pixel_area import add_areas, pixel_area
from geoseg.raster.decode_errors import describe_holes, read_around_holes
from geoseg.raster.losses import ABSENT, PIXELS, Losses
from geoseg.raster.sparse import has_data
from geoseg.stages.metrics import UnitMetrics, UnitTimer
from geoseg.vector.blocks import BlockLabels, label_block
from geoseg.vector.undissolved import split_at_grid

if TYPE_CHECKING:  # torch is imported where a model is, not in every process that reads or finishes blocks
    from geoseg.model.predictor import Predictor


@dataclass(frozen=True, slots=True)
class BlockPixels:
    """What a block reads."""

    pixels: NDArray[np.generic]
    """Raw values in the file's dtype, shape (C, H, W) of ``block.read``."""
    valid: NDArray[np.bool_]
    """True where the scene is valid, shape (H, W) of ``block.read``."""
    notes: tuple[str, ...] = ()
    """What the report should tell of the block."""
    losses: Losses = field(default_factory=dict)
    """Why pixels of the core are not valid, if hardly any is."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A block as its own patches leave it."""

    scores: BlockScores
    spill: Spill
    notes: tuple[str, ...] = ()
    """What the report should tell of the block."""
    losses: Losses = field(default_factory=dict)
    """Why pixels of the core are not valid, if hardly any is."""


TODO, UNSCORED, BLANK = "todo", "unscored", "blank"
"""What reading a block finds: patches for the model; none, but valid pixels on which neighbours decide; none at all."""


def read_block(plan: ScenePlan, block: Block) -> tuple[tuple[UnitMetrics, str], BlockPixels | Scored | None]:
    """Read the pixels of a block and see what there is to do.

    Returns:
        What it took and what it found; and the pixels, or the block as its neighbours' spill will find it, or None: a
        block without a valid pixel is finished at once.

    Raises:
        SceneError: If the file cannot be read there.
    """
    faults.hit("read", "start", block.name)
    timer = UnitTimer("read")
    if not has_data(plan.scene, plan.selection, block.read):
        losses = {PIXELS: block.core.pixels, ABSENT: block.core.pixels}
        return (_keep_blank(plan, block, timer, losses), BLANK), None
    pixels, valid, holes, losses = read_around_holes(plan.scene, plan.selection, block.read, block.core)
    core_valid = valid[block.core.slices(block.read)]
    notes = describe_holes(plan.scene, tuple(p for hole in holes if (p := hole.intersect(block.core)) is not None))
    found: tuple[str, BlockPixels | Scored]
    if valid_patches(plan.tiling.lattice, block, valid):
        found = TODO, BlockPixels(pixels, valid, notes, losses)
    elif core_valid.any():
        found = UNSCORED, Scored(unscored(block, core_valid), Spill(None, None, None), notes, losses)
    else:
        return (_keep_blank(plan, block, timer, losses, notes), BLANK), None
    faults.hit("read", "end", block.name)
    return (timer.metrics(bytes=pixels.nbytes + valid.nbytes), found[0]), found[1]


def predict_block(
    predictor: "Predictor", plan: ScenePlan, block: Block, read: BlockPixels
) -> tuple[UnitMetrics, Scored]:
    """Run the model on the block's patches and blend them.

    Raises:
        SceneError: If scaled pixels or logits of a patch are not finite.
    """
    faults.hit("predict", "start", block.name)
    timer = UnitTimer("predict")
    result = predictor.predict(plan.tiling, block, read.pixels, read.valid, plan.scene.path)
    faults.hit("predict", "end", block.name)
    notes = tuple(
        f"{plan.scene.path}: {reason} in {patch}, nodata there."
        for reason, patch in zip(result.reasons, result.not_finite, strict=True)
    )
    metrics = timer.metrics(patches=result.patches, forward_s=result.forward_s)
    return metrics, Scored(result.scores, result.spill, (*read.notes, *notes), read.losses)


def finish_block(plan: ScenePlan, block: Block, own: Scored) -> UnitMetrics:
    """Add the neighbours' spill, decide the bands, and keep the finished block, its components and strips in the store.

    Its west, north and north-west neighbours are finished: they left their strips there.
    """
    faults.hit("finish", "start", block.name)
    timer = UnitTimer("finish")
    bands = band_windows(block, plan.tiling.lattice.rows.overlap_px)
    class_map = finish(
        own.scores, bands, plan.store.take_spill(blocks_at(plan.tiling, block, BEFORE)), len(plan.legend)
    )
    labels = find_labels(plan, class_map) if plan.has_polygons else None
    if labels is not None:
        plan.polygons.check_count(len(labels.components), plan.scene.path, block=True)
    facts: dict[str, Any] = {
        "valid_pixels": int(np.count_nonzero(class_map.confidence)),
        "components": len(labels.components) if labels else 0,
        "notes": own.notes,
        "losses": own.losses,
    }
    stored_bytes = plan.store.put_finished(block, class_map, own.spill, labels, facts)
    faults.hit("finish", "end", block.name)
    return timer.metrics(bytes=stored_bytes, **facts)


def _keep_blank(
    plan: ScenePlan, block: Block, timer: UnitTimer, losses: Losses, notes: tuple[str, ...] = ()
) -> UnitMetrics:
    """Finish a block without a valid pixel; no neighbour's spill can change that."""
    plan.store.put_blank(block, {"valid_pixels": 0, "components": 0, "notes": notes, "losses": losses})
    faults.hit("read", "end", block.name)
    return timer.metrics(notes=notes, losses=losses)


def resumed_metrics(facts: Mapping[str, Any]) -> UnitMetrics:
    """What a block took that an earlier run finished: nothing; with the facts of its record."""
    return UnitMetrics("resumed", **{**facts, "notes": tuple(facts["notes"])})


def find_labels(plan: ScenePlan, class_map: ClassMap) -> BlockLabels:
    """Find the components of a block, as it was decided or after the minimum area."""
    cell_px, undissolved = plan.tiling.lattice.rows.stride_px, plan.polygons.undissolved
    classes = split_at_grid(class_map.classes, class_map.window, cell_px, undissolved)
    labels = label_block(classes, class_map.confidence, class_map.window, plan.scene.grid.width)
    return add_areas(labels, pixel_area(plan.scene.grid))
