"""The order of the work: which block is read, predicted, finished and traced when, on whatever executor.

A block is finished once it and its west, north and north-west neighbours are predicted, and traced once its eight
neighbours are finished. In raster order about one row of blocks has strips, and two have rims, alive.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from geoseg.errors import SceneError
from geoseg.grid.tiling import Block
from geoseg.run.executor import Executor, Ref
from geoseg.run.gate import AROUND, BEFORE, SPILL, Gate, Place
from geoseg.run.plan import ScenePlan
from geoseg.run.publishing import Published, publish_scene
from geoseg.run.stages import Cost, ReadBlock, finish_block, read_block
from geoseg.run.tracing import Traced, absorb_small, find_graph, recolour_block, trace_finished

POLL_S = 10.0
"""Longest wait for news; each wait ends as soon as there is some."""

Watch = Callable[[ScenePlan, Cost], None]
Order = Callable[[Iterable[Block]], Iterable[Block]]
Unit = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a scene ended."""

    path: str
    scene_id: str
    published: Published | None = None
    """What lies in the output; None if the scene failed."""
    error: str | None = None
    """Why it failed."""


@dataclass(slots=True)
class _Progress:
    """One scene on its way. Everything but the plan is references to values that exist somewhere."""

    plan: ScenePlan
    spill: Gate[tuple[Ref, ...]]
    """Strips of predicted blocks."""
    rims: Gate[Ref]
    """Rims of finished blocks."""
    merged_rims: Gate[Ref]
    """Rims of blocks after the minimum area."""
    scores: dict[Place, Ref] = field(default_factory=dict)
    """Predicted blocks that await spill."""
    results: list[tuple[Ref, ...]] = field(default_factory=list)
    """What the blocks' last pass so far has left for the scene."""
    failed: bool = False

    @classmethod
    def of(cls, plan: ScenePlan) -> "_Progress":
        rows, cols = plan.tiling.block_rows, plan.tiling.block_cols
        return cls(plan, Gate(rows, cols, BEFORE), Gate(rows, cols, AROUND), Gate(rows, cols, AROUND))


class Pipeline:
    """Takes scenes through an executor with bounded work in flight."""

    def __init__(self, executor: Executor, watch: Watch, order: Order = lambda blocks: blocks) -> None:
        """Prepare a run.

        Args:
            executor: Where the work runs.
            watch: Told the cost of every unit as it ends.
            order: In which order the blocks of a scene start; tests shuffle it.
        """
        self._executor, self._watch, self._order = executor, watch, order
        self._pending: dict[Ref, Unit] = {}
        self._readable: deque[tuple[_Progress, Block, Ref]] = deque()
        self._waiting: deque[Unit] = deque()
        self._in_flight = 0
        self._outcomes: list[Outcome] = []

    def run(self, scenes: Sequence[ScenePlan]) -> list[Outcome]:
        """Process all scenes; a scene that fails does not stop the others."""
        units = self._units(scenes)
        while True:
            self._start_work(units)
            if not self._pending:
                return self._outcomes
            for ref in self._executor.wait(list(self._pending), POLL_S):
                self._pending.pop(ref)()

    def _units(self, scenes: Sequence[ScenePlan]) -> Iterator[Unit]:
        for plan in scenes:
            scene = _Progress.of(plan)
            for block in self._order(plan.tiling.blocks()):
                if scene.failed:
                    break
                then = partial(self._was_read, scene, block)
                yield partial(self._start, scene, then, read_block, block, returns=len(ReadBlock._fields))

    def _start_work(self, units: Iterator[Unit]) -> None:
        """Start what the executor has room for: predictions, then what has begun, then new blocks."""
        while True:
            while self._readable and self._executor.can_predict():
                self._predict(*self._readable.popleft())
            if self._pending and self._in_flight >= self._executor.max_blocks:
                return
            unit = self._waiting.popleft() if self._waiting else next(units, None)
            if unit is None:
                return
            unit()

    def _start(
        self, scene: _Progress, then: Callable[..., None], stage: Callable[..., Any], *args: Any, returns: int = 2
    ) -> None:
        """Run a stage on a scene, then ``then(its first value, *references to the others)``."""
        if not scene.failed:
            self._in_flight += 1
            self._follow(scene, then, self._executor.submit(stage, scene.plan, *args, returns=returns))

    def _follow(self, scene: _Progress, then: Callable[..., None], refs: tuple[Ref, ...]) -> None:
        def news() -> None:
            self._in_flight -= 1
            if scene.failed:
                return
            try:
                value = self._executor.get(refs[0])
            except Exception as error:  # noqa: BLE001  whatever ends a unit ends its scene, and the others go on
                self._fail(scene, error)
            else:
                then(value, *refs[1:])

        self._pending[refs[0]] = news

    def _was_read(self, scene: _Progress, block: Block, facts: tuple[Cost, bool], pixels: Ref, unscored: Ref) -> None:
        cost, has_work = facts
        self._watch(scene.plan, cost)
        if has_work:
            self._in_flight += 1  # its pixels are held until it is predicted
            self._readable.append((scene, block, pixels))
        else:
            self._scored(scene, block, unscored, ())

    def _predict(self, scene: _Progress, block: Block, pixels: Ref) -> None:
        if scene.failed:
            self._in_flight -= 1
            return
        then = partial(self._was_predicted, scene, block)
        self._follow(scene, then, self._executor.predict(scene.plan, block, pixels))

    def _was_predicted(self, scene: _Progress, block: Block, cost: Cost, scores: Ref, *strips: Ref) -> None:
        self._watch(scene.plan, cost)
        self._scored(scene, block, scores, strips)

    def _scored(self, scene: _Progress, block: Block, scores: Ref, strips: tuple[Ref, ...]) -> None:
        scene.scores[block.row, block.col] = scores
        for place, _, before in scene.spill.arrive((block.row, block.col), strips):
            sources = {step: dict(zip(SPILL, found, strict=False)) for step, found in before.items()}
            incoming = [sources.get(step, {}).get(side) for step, side in zip(BEFORE, SPILL, strict=True)]
            ready = scene.plan.tiling.block(*place)
            then = partial(self._was_finished, scene, ready)
            self._waiting.append(
                partial(self._start, scene, then, finish_block, ready, scene.scores.pop(place), *incoming)
            )

    def _was_finished(self, scene: _Progress, block: Block, cost: Cost, rim: Ref) -> None:
        self._watch(scene.plan, cost)
        if not scene.plan.scene.grid.crs:
            self._passed(scene, (), self._publish)
        elif scene.plan.polygons.min_area_px > 1:
            for ready, around in self._surrounded(scene, scene.rims, block, rim):
                then = partial(self._has_graph, scene)
                self._waiting.append(partial(self._start, scene, then, find_graph, ready, *around))
        else:
            self._trace_surrounded(scene, scene.rims, block, rim)

    def _surrounded(
        self, scene: _Progress, gate: Gate[Ref], block: Block, rim: Ref
    ) -> Iterator[tuple[Block, tuple[Any, ...]]]:
        """Blocks all of whose neighbours have shown their rims; where those lie, and the rims."""
        for place, _, around in gate.arrive((block.row, block.col), rim):
            yield scene.plan.tiling.block(*place), (tuple(around), *around.values())

    def _trace_surrounded(self, scene: _Progress, gate: Gate[Ref], block: Block, rim: Ref) -> None:
        for ready, around in self._surrounded(scene, gate, block, rim):
            then, returns = partial(self._was_traced, scene), len(Traced._fields)
            self._waiting.append(partial(self._start, scene, then, trace_finished, ready, *around, returns=returns))

    def _has_graph(self, scene: _Progress, cost: Cost, graph: Ref) -> None:
        self._watch(scene.plan, cost)
        self._passed(scene, (graph,), self._absorb)

    def _absorb(self, scene: _Progress, graphs: list[Ref]) -> None:
        self._start(scene, partial(self._was_absorbed, scene), absorb_small, *graphs)

    def _was_absorbed(self, scene: _Progress, cost: Cost, changes: Ref) -> None:
        self._watch(scene.plan, cost)
        for block in scene.plan.tiling.blocks():
            then = partial(self._was_recoloured, scene, block)
            self._waiting.append(partial(self._start, scene, then, recolour_block, block, changes))

    def _was_recoloured(self, scene: _Progress, block: Block, cost: Cost, rim: Ref) -> None:
        self._watch(scene.plan, cost)
        self._trace_surrounded(scene, scene.merged_rims, block, rim)

    def _was_traced(self, scene: _Progress, cost: Cost, *unfinished: Ref) -> None:
        self._watch(scene.plan, cost)
        self._passed(scene, unfinished, self._publish)

    def _passed(self, scene: _Progress, result: tuple[Ref, ...], then: Callable[[_Progress, list[Ref]], None]) -> None:
        """Take in what a block leaves for the scene; go on once all blocks have."""
        scene.results.append(result)
        if len(scene.results) == scene.plan.tiling.count:
            results, scene.results = scene.results, []
            then(scene, [ref for result in results for ref in result])

    def _publish(self, scene: _Progress, refs: list[Ref]) -> None:
        self._start(scene, partial(self._was_published, scene), publish_scene, *refs, returns=1)

    def _was_published(self, scene: _Progress, published: Published) -> None:
        for cost in published.costs:
            self._watch(scene.plan, cost)
        self._outcomes.append(Outcome(scene.plan.scene.path, scene.plan.scene.scene_id, published=published))

    def _fail(self, scene: _Progress, error: Exception) -> None:
        scene.failed = True
        for gate in (scene.spill, scene.rims, scene.merged_rims):
            gate.clear()
        scene.scores.clear()
        scene.results.clear()
        scene.plan.store.discard()
        path, reason = scene.plan.scene.path, str(error) if isinstance(error, SceneError) else _plain(error)
        message = reason if path in reason else f"{path}: {reason}"
        self._outcomes.append(Outcome(path, scene.plan.scene.scene_id, error=message))


def _plain(error: Exception) -> str:
    """An error that no stage has put into words."""
    reason = " ".join(str(error).split())
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        return f"{error.strerror or reason}{where}. Free the space or mend the folder, then run the command again."
    if isinstance(error, MemoryError) or "out of memory" in reason:
        return f"out of memory: {reason} Set tiling.block_px, run.batch_size or run.workers lower, then run it again."
    return f"unexpected {type(error).__name__}: {reason} If the file opens elsewhere, this is a bug: please report it."
