"""The first stage of a block: read its pixels, and decide whether the model has work there."""

from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from geoseg import faults
from geoseg.grid.blend import BlockScores, Spill, unscored
from geoseg.grid.tiling import Block, valid_patches
from geoseg.plan.scene_plan import ScenePlan
from geoseg.raster.decode_errors import describe_holes, read_around_holes
from geoseg.raster.losses import ABSENT, PIXELS, Losses
from geoseg.raster.sparse import has_data
from geoseg.stages.metrics import UnitMetrics, UnitTimer
from geoseg.store.scene_store import BLOCKS


@dataclass(frozen=True, slots=True)
class BlockPixels:
    """The pixels of a block and their validity."""

    pixels: NDArray[np.generic]
    """Raw values in the file's dtype, shape (C, H, W) of ``block.read``."""
    valid: NDArray[np.bool_]
    """True where the scene is valid, shape (H, W) of ``block.read``."""
    wanted: NDArray[np.bool_] | None = None
    """True where a pixel gets a class, shape of ``valid``; None for all that are valid."""
    notes: tuple[str, ...] = ()
    """Sentences for the report."""
    losses: Losses = field(default_factory=dict)
    """Why pixels of the core are not valid; counted only where hardly any is valid."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A block with the scores of its own patches, before the neighbours' spill is added."""

    scores: BlockScores
    spill: Spill
    notes: tuple[str, ...] = ()
    """Sentences for the report."""
    losses: Losses = field(default_factory=dict)
    """Why pixels of the core are not valid; counted only where hardly any is valid."""


TODO, UNSCORED, BLANK = "todo", "unscored", "blank"
"""State of a block after reading: it has patches for the model; only patches of its neighbours cover its valid pixels;
or none of its pixels gets a class."""


def read_block(
    plan: ScenePlan, block: Block, date: int | None = None
) -> tuple[tuple[UnitMetrics, str], BlockPixels | Scored | None]:
    """Read the pixels of a block and decide what comes next.

    Args:
        plan: The scene.
        block: The block.
        date: Number of a date of a scene whose dates are fused.

    Returns:
        Metrics and state; and the data for the next unit: `BlockPixels` if `TODO`, `Scored` without scores of its own
        if `UNSCORED`, None if `BLANK`: then the block is finished here, unless it is only one of its dates.

    Raises:
        SceneError: If the file cannot be read there.
    """
    faults.hit("read", "start", block.name)
    timer = UnitTimer("read")
    scene = plan.scene if date is None else plan.scene.on_date(date)
    # Other dates of the block may have valid pixels.
    end_blank = partial(_end_blank, plan, block, timer, store=date is None)
    area = plan.selection.area
    inside = None if area is None else area.mask(block.read)
    if inside is not None and not inside.any():
        return (end_blank({}), BLANK), None
    if not has_data(scene, plan.selection, block.read):
        losses = {PIXELS: block.core.pixels, ABSENT: block.core.pixels}
        return (end_blank(losses), BLANK), None
    pixels, valid, holes, losses = read_around_holes(
        scene, plan.selection, block.read, block.core.intersect(plan.selection.bounds(scene)) or block.core
    )
    wanted = valid if inside is None else valid & inside
    core_wanted = wanted[block.core.slices(block.read)]
    notes = describe_holes(scene, tuple(p for hole in holes if (p := hole.intersect(block.core)) is not None))
    state: str
    data: BlockPixels | Scored
    if valid_patches(plan.tiling.lattice, block, wanted):
        state, data = TODO, BlockPixels(pixels, valid, None if inside is None else wanted, notes, losses)
    elif core_wanted.any():
        state, data = UNSCORED, Scored(unscored(block, core_wanted), Spill(None, None, None), notes, losses)
    else:
        return (end_blank(losses, notes), BLANK), None
    faults.hit("read", "end", block.name)
    return (timer.metrics(bytes=pixels.nbytes + valid.nbytes), state), data


def _end_blank(
    plan: ScenePlan, block: Block, timer: UnitTimer, losses: Losses, notes: tuple[str, ...] = (), *, store: bool
) -> UnitMetrics:
    """Store a block of which no pixel gets a class as finished: spill changes no other pixels."""
    if store:
        plan.store.put_empty(BLOCKS, block, valid_pixels=0, components=0, notes=notes, losses=losses)
    faults.hit("read", "end", block.name)
    return timer.metrics(notes=notes, losses=losses)
