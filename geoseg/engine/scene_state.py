"""The state of one scene during a run, and its outcome."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from geoseg.engine.barrier import Countdown, NeighbourBarrier
from geoseg.errors import SceneError
from geoseg.grid.neighbours import NEIGHBOUR_STEPS, SPILL_STEPS
from geoseg.grid.tiling import Block
from geoseg.plan.scene_plan import ScenePlan
from geoseg.raster.losses import describe_losses, describe_remedies, nodata_rule_warning
from geoseg.stages.metrics import UnitMetrics
from geoseg.stages.outputs import Staged
from geoseg.store.records import Record
from geoseg.store.scene_store import SCENE

Watch = Callable[[ScenePlan, UnitMetrics], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a scene."""

    path: str
    scene_id: str
    results: Mapping[str, Any] | None = None
    """Counts and areas of the published results; None if the scene failed."""
    error: str | None = None
    """Why it failed."""
    resumable: bool = True
    """False if the next run cannot use the finished blocks: the scene itself is faulty."""
    blocks: int = 0
    """Number of blocks."""
    resumed: int = 0
    """Blocks that an earlier run had finished."""
    retries: int = 0
    """Units of work that were repeated after a loss."""


@dataclass(slots=True)
class SceneState:
    """One scene during a run; the flows of `geoseg.engine.scene_flow` change it."""

    number: int
    """Index among the scenes of the run."""
    plan: ScenePlan
    watch: Watch
    """Called with the metrics of every unit that ends."""
    spilled: NeighbourBarrier
    """Opens for a block when its west, north and north-west neighbours are finished: their strips reach into it."""
    surrounded: NeighbourBarrier
    """Opens for a block when it and its eight neighbours are finished."""
    labelled: NeighbourBarrier
    """Opens for a block when it and its neighbours have components; `surrounded` itself unless classes are smoothed."""
    relabelled: NeighbourBarrier
    """The same after the minimum area."""
    finished: Countdown
    """Opens when all blocks are finished."""
    classified: Countdown
    """Opens when all blocks have their final classes; `finished` itself unless classes are smoothed."""
    graphed: Countdown
    """Opens when the graph of components of every block is stored."""
    absorbed: Countdown
    """Opens when the components below the minimum area have their new class."""
    traced: Countdown
    """Opens when all blocks are traced."""
    published: Countdown
    """Opens when all files are staged."""
    records: Mapping[str, Mapping[str, Record]] = field(default_factory=dict)
    """Units that an earlier run has recorded, by kind and name."""
    staged: list[Staged] = field(default_factory=list)
    """Staged parts of the results."""
    blocks_in_work: int = 0
    """Blocks between the start of reading and the end of finishing."""
    valid_pixels: int = 0
    """In finished blocks."""
    losses: Counter[str] = field(default_factory=Counter)
    """Causes of pixels that are not valid, as far as counted; see `geoseg.raster.losses`."""
    components: int = 0
    resumed: int = 0
    retries: int = 0
    over: bool = False
    """Committed or failed."""

    @classmethod
    def of(cls, number: int, plan: ScenePlan, watch: Watch) -> "SceneState":
        """Create the state of a scene before its first unit."""
        tiling, around = plan.tiling, ((0, 0), *NEIGHBOUR_STEPS)
        surrounded, finished = NeighbourBarrier(tiling, around), Countdown(tiling.count)
        return cls(
            number,
            plan,
            watch,
            spilled=NeighbourBarrier(tiling, SPILL_STEPS),
            surrounded=surrounded,
            labelled=NeighbourBarrier(tiling, around) if plan.smoothing_px else surrounded,
            relabelled=NeighbourBarrier(tiling, around),
            finished=finished,
            classified=Countdown(tiling.count) if plan.smoothing_px else finished,
            graphed=Countdown(tiling.count),
            absorbed=Countdown(1),
            traced=Countdown(tiling.count),
            published=Countdown(1 + (0 if plan.reused else len(plan.rasters)) + plan.has_polygons),
        )

    def is_recorded(self, kind: str, block: Block | None = None) -> bool:
        """Whether an earlier run has recorded a unit of a kind, on a block or on the whole scene."""
        return (SCENE if block is None else block.name) in self.records[kind]

    def add(self, metrics: UnitMetrics) -> None:
        """Report the metrics of a unit."""
        self.watch(self.plan, metrics)

    def finish(self, block: Block, metrics: UnitMetrics) -> None:
        """Count a finished block and open barriers.

        Raises:
            SceneError: If the scene has too many components, or no valid pixel.
        """
        self.valid_pixels += metrics.valid_pixels
        self.losses.update(metrics.losses)
        self._count_components(metrics.components)
        if self.finished.left == 1 and (warning := self._check_validity()):
            metrics = replace(metrics, notes=(*metrics.notes, warning))
        self.add(metrics)
        for barrier in (self.spilled, self.surrounded):
            barrier.arrive(block)
        self.finished.arrive()

    def smooth(self, block: Block, components: int) -> None:
        """Count a smoothed block and open barriers; raises SceneError if the scene has too many components."""
        self._count_components(components)
        self.labelled.arrive(block)
        self.classified.arrive()

    def _count_components(self, count: int) -> None:
        self.components += count
        self.plan.polygons.check_count(self.components, self.plan.scene.path)

    def _check_validity(self) -> str:
        """Check the valid pixels of a scene after its last block.

        Returns:
            A warning, or an empty text.

        Raises:
            SceneError: If no pixel is valid and the settings do not allow such scenes.
        """
        scene, selection = self.plan.scene, self.plan.selection
        causes = describe_losses(scene, selection, self.losses)
        if self.valid_pixels:
            text = nodata_rule_warning(selection, self.losses, self.valid_pixels)
            return f"{scene.path}: {text}: {causes}. Is that meant? If not, set scene.nodata_rule=all." if text else ""
        where = "" if selection.area is None else " in the area of interest"
        text = f"{scene.path} has no valid pixel{where}: {causes or 'no cause was counted'}."
        if not self.plan.allow_empty:
            raise SceneError(f"{text} Set {describe_remedies(selection, self.losses)}.")
        return f"{text} Its class map is empty."

    def close(self) -> None:
        """End the scene and drop waiting flows, which reference pixels."""
        self.over = True
        neighbours = self.spilled, self.surrounded, self.labelled, self.relabelled
        for barrier in (
            *neighbours,
            self.finished,
            self.classified,
            self.graphed,
            self.absorbed,
            self.traced,
            self.published,
        ):
            barrier.clear()
