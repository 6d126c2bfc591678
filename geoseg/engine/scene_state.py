"""Where a scene stands in a run: what is under way, what waits, how it ended."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from geoseg.engine.barrier import NeighbourBarrier
from geoseg.engine.executor import Ref
from geoseg.errors import SceneError
from geoseg.grid.neighbours import AROUND, BEFORE, Place
from geoseg.grid.tiling import Block
from geoseg.plan.scene_plan import ScenePlan
from geoseg.raster.losses import describe_losses, lost_by_rule, remedies
from geoseg.stages.outputs import Staged
from geoseg.store.records import Record

Then = Callable[..., None]
"""Takes the values of a unit of work."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a scene ended."""

    path: str
    scene_id: str
    results: Mapping[str, Any] | None = None
    """Counts and areas of what lies in the output; None if the scene failed."""
    error: str | None = None
    """Why it failed."""
    resumable: bool = True
    """False if what was done for it is of no use: the scene itself is at fault."""
    blocks: int = 0
    """Blocks of the scene."""
    resumed: int = 0
    """Those that an earlier run had finished."""
    retries: int = 0
    """Units of work that were lost and tried again."""


@dataclass(slots=True)
class SceneState:
    """One scene on its way; `geoseg.engine.scene_flow` moves it on."""

    number: int
    """Its place among the scenes of the run."""
    plan: ScenePlan
    spill: NeighbourBarrier
    """Opens for a block when those that spill into it are finished."""
    finished: NeighbourBarrier
    """Opens for a block when it and all around it are finished."""
    merged: NeighbourBarrier
    """The same after the minimum area."""
    records: Mapping[str, Mapping[str, Record]] = field(default_factory=dict)
    """Units that an earlier run has done, by kind and name."""
    scored: dict[Place, tuple[Ref, int]] = field(default_factory=dict)
    """Predicted blocks that wait to be finished, and the attempt they are."""
    under_way: int = 0
    """Blocks from the start of their reading until they are finished."""
    decided: int = 0
    """Blocks that are finished."""
    passed: int = 0
    """Blocks that are through the present pass over the scene."""
    staged: list[Staged] = field(default_factory=list)
    """Parts of the results that await the others."""
    valid_pixels: int = 0
    """In finished blocks."""
    losses: Counter[str] = field(default_factory=Counter)
    """Why the others are not valid, as far as it was counted; see `geoseg.raster.losses`."""
    components: int = 0
    resumed: int = 0
    retries: int = 0
    over: bool = False
    """Committed or failed."""

    @property
    def is_decided(self) -> bool:
        """Tell whether all blocks are finished, and the rest is to publish them."""
        return self.decided == self.plan.tiling.count

    def check_validity(self) -> str:
        """Judge how many pixels of a scene whose blocks are all finished are valid.

        Returns:
            A warning, or nothing.

        Raises:
            SceneError: If none is, unless such scenes are asked for.
        """
        scene, selection = self.plan.scene, self.plan.selection
        causes = describe_losses(scene, selection, self.losses)
        if self.valid_pixels:
            text = lost_by_rule(selection, self.losses, self.valid_pixels)
            return f"{scene.path}: {text}: {causes}. Is that meant? If not, set scene.nodata_rule=all." if text else ""
        text = f"{scene.path} has no valid pixel: {causes or 'no cause was counted'}."
        if not self.plan.allow_empty:
            raise SceneError(f"{text} Set {remedies(selection, self.losses)}.")
        return f"{text} Its class map is empty."

    @classmethod
    def of(cls, number: int, plan: ScenePlan) -> "SceneState":
        """A scene of which nothing is done."""
        around = ((0, 0), *AROUND)
        return cls(
            number,
            plan,
            NeighbourBarrier(plan.tiling, BEFORE),
            NeighbourBarrier(plan.tiling, around),
            NeighbourBarrier(plan.tiling, around),
        )


@dataclass(frozen=True, slots=True)
class Step:
    """A unit of work and what follows it."""

    scene: SceneState
    stage: Callable[..., Any]
    args: tuple[Any, ...]
    """The block, unless it is work on the whole scene, and other small values."""
    then: Then
    """Takes the unit's value, and the references to its others."""
    inputs: tuple[Ref, ...] = ()
    """What earlier steps of the block have left."""
    returns: int = 1
    attempt: int = 1
    restart: Callable[[int], None] | None = None
    """What to do, as the attempt of this number, if it was lost; None: the same step again."""

    @property
    def rank(self) -> tuple[int, bool, int, int]:
        """What goes first: scene by scene, each in raster order, and last what works on the whole of it."""
        block = next((arg for arg in self.args if isinstance(arg, Block)), None)
        return self.scene.number, block is None, *((0, 0) if block is None else (block.row, block.col))
