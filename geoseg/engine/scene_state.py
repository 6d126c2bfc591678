"""The state of one scene during a run, and how it ended."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from geoseg.engine.barrier import Countdown, NeighbourBarrier
from geoseg.errors import SceneError
from geoseg.grid.neighbours import NEIGHBOUR_STEPS, SPILL_STEPS
from geoseg.grid.tiling import Block
from geoseg.plan.scene_plan import ScenePlan
from geoseg.raster.losses import describe_losses, lost_by_rule, remedies
from geoseg.stages.metrics import UnitMetrics
from geoseg.stages.outputs import Staged
from geoseg.store.records import Record
from geoseg.store.scene_store import SCENE

Watch = Callable[[ScenePlan, UnitMetrics], None]


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
    """False if its finished blocks are of no use: the scene itself is at fault."""
    blocks: int = 0
    """Blocks of the scene."""
    resumed: int = 0
    """Blocks that an earlier run had finished."""
    retries: int = 0
    """Units of work that were lost and done again."""


@dataclass(slots=True)
class SceneState:
    """One scene during a run; `geoseg.engine.scene_flow` says how it moves on."""

    number: int
    """Its position among the scenes of the run."""
    plan: ScenePlan
    watch: Watch
    """Called with the metrics of every unit as it ends."""
    spilled: NeighbourBarrier
    """Opens for a block when the west, north and north-west neighbours, which spill into it, are finished."""
    surrounded: NeighbourBarrier
    """Opens for a block when it and its eight neighbours are finished."""
    relabelled: NeighbourBarrier
    """The same after the minimum area."""
    finished: Countdown
    """Opens when all blocks are finished."""
    graphed: Countdown
    """Opens when the graph of components of every block is there."""
    absorbed: Countdown
    """Opens when it is decided which components are too small."""
    traced: Countdown
    """Opens when all blocks are traced."""
    published: Countdown
    """Opens when all files are staged."""
    records: Mapping[str, Mapping[str, Record]] = field(default_factory=dict)
    """Units that an earlier run has done, by kind and name."""
    staged: list[Staged] = field(default_factory=list)
    """Published files that await the commit."""
    under_way: int = 0
    """Blocks from the start of their reading until they are finished."""
    valid_pixels: int = 0
    """In finished blocks."""
    losses: Counter[str] = field(default_factory=Counter)
    """Why the other pixels are not valid, as far as it was counted; see `geoseg.raster.losses`."""
    components: int = 0
    resumed: int = 0
    retries: int = 0
    over: bool = False
    """Committed or failed."""

    @classmethod
    def of(cls, number: int, plan: ScenePlan, watch: Watch) -> "SceneState":
        """Create the state of a scene of which nothing is done."""
        tiling, around = plan.tiling, ((0, 0), *NEIGHBOUR_STEPS)
        return cls(
            number,
            plan,
            watch,
            spilled=NeighbourBarrier(tiling, SPILL_STEPS),
            surrounded=NeighbourBarrier(tiling, around),
            relabelled=NeighbourBarrier(tiling, around),
            finished=Countdown(tiling.count),
            graphed=Countdown(tiling.count),
            absorbed=Countdown(1),
            traced=Countdown(tiling.count),
            published=Countdown(3 if plan.has_polygons else 2),
        )

    def is_recorded(self, kind: str, block: Block | None = None) -> bool:
        """Tell whether an earlier run has done a unit of a kind, on a block or on the whole scene."""
        return (SCENE if block is None else block.name) in self.records[kind]

    def add(self, metrics: UnitMetrics) -> None:
        """Report a unit that has ended."""
        self.watch(self.plan, metrics)

    def finish(self, block: Block, metrics: UnitMetrics) -> None:
        """Take note of a finished block.

        Raises:
            SceneError: If the scene has too many components, or no valid pixel.
        """
        self.valid_pixels += metrics.valid_pixels
        self.losses.update(metrics.losses)
        self.components += metrics.components
        self.plan.polygons.check_count(self.components, self.plan.scene.path)
        if self.finished.left == 1 and (warning := self._check_validity()):
            metrics = replace(metrics, notes=(*metrics.notes, warning))
        self.add(metrics)
        for barrier in (self.spilled, self.surrounded):
            barrier.arrive(block)
        self.finished.arrive()

    def _check_validity(self) -> str:
        """Check how many pixels of a scene whose blocks are all finished are valid.

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

    def close(self) -> None:
        """End the scene: what waits is forgotten, with the pixels that it holds."""
        self.over = True
        for barrier in (self.spilled, self.surrounded, self.relabelled):
            barrier.clear()
        for countdown in (self.finished, self.graphed, self.absorbed, self.traced, self.published):
            countdown.clear()
