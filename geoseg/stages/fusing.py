"""The stages of a block of a scene whose dates are fused: each date is read and predicted, their scores are summed."""

from typing import TYPE_CHECKING

import numpy as np

from geoseg import faults
from geoseg.grid.fusion import Fused, finish_fused, fused_spill, no_date
from geoseg.grid.legend import NODATA_CLASS
from geoseg.grid.neighbours import SPILL_STEPS, blocks_at
from geoseg.grid.tiling import Block
from geoseg.plan.scene_plan import ScenePlan
from geoseg.raster.losses import Losses
from geoseg.stages.metrics import UnitMetrics, UnitTimer
from geoseg.stages.reading import BlockPixels, Scored
from geoseg.stages.scoring import store_finished
from geoseg.store.scene_store import BLOCKS

if TYPE_CHECKING:  # only processes with a model import torch
    from geoseg.model.predictor import Predictor


def predict_date(
    predictor: "Predictor", plan: ScenePlan, block: Block, read: BlockPixels, before: Fused | None = None
) -> tuple[UnitMetrics, Fused]:
    """Run the model on the block's patches of one date, and add their scores to those of the dates ``before``.

    Raises:
        SceneError: If scaled pixels or logits of a patch are not finite.
    """
    faults.hit("predict", "start", block.name)
    timer = UnitTimer("predict")
    wanted = read.valid if read.wanted is None else read.wanted
    scores, done = predictor.score(plan.tiling, block, read.pixels, read.valid, plan.scene.path, wanted=wanted)
    count = wanted[block.core.slices(block.read)].astype(np.uint16)
    fused = Fused(count, scores, dict(read.losses), read.notes)
    faults.hit("predict", "end", block.name)
    return timer.metrics(patches=done.patches, forward_s=done.forward_s), fused if before is None else before + fused


def finish_dates(
    plan: ScenePlan, block: Block, losses: Losses, notes: tuple[str, ...], *found: Fused | Scored
) -> UnitMetrics:
    """Add the neighbours' spill to the sums of all dates, decide, and store the finished block.

    The west, north and north-west neighbours must be finished.

    Args:
        plan: The scene.
        block: The block.
        losses: Why pixels are not valid, on dates without a valid one.
        notes: Sentences for the report, of these dates.
        found: The sums of the dates that were predicted; and each date whose valid pixels only neighbours' patches
            cover.
    """
    faults.hit("finish", "start", block.name)
    timer = UnitTimer("finish")
    fused = Fused(no_date(block.core).count, None, dict(losses), notes)
    for one in found:
        fused += _unscored(one) if isinstance(one, Scored) else one
    if not found:
        facts = {"valid_pixels": 0, "components": 0, "notes": fused.notes, "losses": fused.losses}
        return timer.metrics(bytes=plan.store.put_empty(BLOCKS, block, **facts), **facts)
    spill = plan.store.take_spill(blocks_at(plan.tiling, block, SPILL_STEPS))
    class_map = finish_fused(fused, block, spill, plan.decision)
    return store_finished(
        plan, block, timer, class_map, fused_spill(fused, plan.tiling, block), notes=fused.notes, losses=fused.losses
    )


def _unscored(scored: Scored) -> Fused:
    valid = scored.scores.decided.classes != NODATA_CLASS
    return Fused(valid.astype(np.uint16), None, dict(scored.losses), scored.notes)
