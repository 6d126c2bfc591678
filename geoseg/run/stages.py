"""The stages of a run as plain functions. They know nothing of Ray; both executors call these."""

from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoseg.grid.blend import BlockScores, ClassMap, Strip, band_windows, finish, unscored
from geoseg.grid.legend import NODATA_CLASS
from geoseg.grid.tiling import Block, valid_patches
from geoseg.raster.holes import describe_holes, read_around_holes
from geoseg.run.plan import ScenePlan
from geoseg.vector.blocks import BlockLabels, label_block
from geoseg.vector.seams import Rim
from geoseg.vector.undissolved import split_at_grid

if TYPE_CHECKING:  # torch is imported where a model is, not in every process that reads or finishes blocks
    from geoseg.model.predictor import Predictor


@dataclass(frozen=True, slots=True)
class Cost:
    """What one unit of work took."""

    stage: str
    """read, predict, finish, trace, rasters or polygons."""
    seconds: float
    """Wall time of the unit."""
    bytes: int = 0
    """Pixels read or files written."""
    patches: int = 0
    """Patches that went through the model."""
    forward_s: float = 0.0
    """Seconds in the network."""
    valid_pixels: int = 0
    """Pixels that got a class."""
    notes: tuple[str, ...] = ()
    """What the report should tell of it: pixels that could not be decoded, logits that are not finite."""


@dataclass(frozen=True, slots=True)
class BlockPixels:
    """What a block reads."""

    pixels: NDArray[np.generic]
    """Raw values in the file's dtype, shape (C, H, W) of ``block.read``."""
    valid: NDArray[np.bool_]
    """True where the scene is valid, shape (H, W) of ``block.read``."""


class ReadBlock(NamedTuple):
    """Values of `read_block`."""

    facts: tuple[Cost, bool]
    """What it took, and whether a patch holds a valid pixel. If none does, the model is not asked."""
    pixels: BlockPixels
    unscored: BlockScores | None
    """If there is nothing to predict: the block as its neighbours' spill will find it."""


class Predicted(NamedTuple):
    """Values of `predict_block`. Strips are values of their own, so that each can go to its one neighbour."""

    cost: Cost
    scores: BlockScores
    east: Strip | None
    south: Strip | None
    south_east: Strip | None


def read_block(plan: ScenePlan, block: Block) -> ReadBlock:
    """Read the pixels of a block and see which of its patches have work to do.

    Raises:
        SceneError: If the file cannot be read there.
    """
    started = perf_counter()
    pixels, valid, holes = read_around_holes(plan.scene, plan.selection, block.read)
    todo = bool(valid_patches(plan.tiling.lattice, block, valid))
    nothing = None if todo else unscored(block, valid[block.core.slices(block.read)])
    own = tuple(part for hole in holes if (part := hole.intersect(block.core)) is not None)
    notes = describe_holes(plan.scene, own)
    cost = Cost("read", perf_counter() - started, pixels.nbytes + valid.nbytes, notes=notes)
    return ReadBlock((cost, todo), BlockPixels(pixels, valid), nothing)


def predict_block(predictor: "Predictor", plan: ScenePlan, block: Block, read: BlockPixels) -> Predicted:
    """Run the model on the block's patches and blend them.

    Raises:
        SceneError: If the logits of a patch are not finite.
    """
    started = perf_counter()
    result = predictor.predict(plan.tiling, block, read.pixels, read.valid, plan.scene.path)
    spill = result.spill
    notes = tuple(f"{plan.scene.path}: logits are not finite in {patch}, nodata there." for patch in result.not_finite)
    cost = Cost("predict", perf_counter() - started, patches=result.patches, forward_s=result.forward_s, notes=notes)
    return Predicted(cost, result.scores, spill.east, spill.south, spill.south_east)


def finish_block(plan: ScenePlan, block: Block, own: BlockScores, *incoming: Strip | None) -> tuple[Cost, Rim]:
    """Add the neighbours' spill, decide the bands, keep the finished block in the store and show its rim."""
    started = perf_counter()
    bands = band_windows(block, plan.tiling.lattice.rows.overlap_px)
    strips = [strip for strip in incoming if strip is not None]
    class_map = finish(own, bands, strips, len(plan.legend))
    stored_bytes = plan.store.put_block(block, class_map)
    valid_pixels = int(np.count_nonzero(class_map.classes != NODATA_CLASS))
    rim = find_labels(plan, class_map).rim
    return Cost("finish", perf_counter() - started, stored_bytes, valid_pixels=valid_pixels), rim


def find_labels(plan: ScenePlan, class_map: ClassMap) -> BlockLabels:
    """Find the components of a block, as it was decided or after the minimum area."""
    cell_px, undissolved = plan.tiling.lattice.rows.stride_px, plan.polygons.undissolved
    classes = split_at_grid(class_map.classes, class_map.window, cell_px, undissolved)
    return label_block(classes, class_map.confidence, class_map.window, plan.scene.grid.width)
