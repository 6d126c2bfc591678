"""The order of the work: which block is read, predicted, finished and traced when, on whatever executor.

A block is finished once it is predicted and its west, north and north-west neighbours are finished, and traced once its
eight neighbours are finished. Rasters are published once all blocks are finished, polygons once all are traced. Units
that an earlier run has done are passed over.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import Any

from geoseg.errors import ClusterError, Interrupted, SceneError
from geoseg.grid.tiling import Block
from geoseg.run.attempts import deadline_s, describe_failure, is_resumable, may_try_again
from geoseg.run.executor import Executor, Ref, Unit
from geoseg.run.gate import Place
from geoseg.run.line import Line
from geoseg.run.plan import ScenePlan
from geoseg.run.publishing import LAST_STAGES, RASTERS, Staged, commit_scene, publish_polygons, seal_scene
from geoseg.run.resume import begin_scene
from geoseg.run.scene_progress import Outcome, SceneProgress, Step, Then
from geoseg.run.stages import BLANK, TODO, Cost, finish_block, predict_block, read_block, resumed_cost
from geoseg.run.store import BLOCKS, CHANGES, GRAPHS, MERGED, SCENE, TRACED
from geoseg.run.tracing import absorb_small, find_graph, recolour_block, trace_finished

POLL_S = 1.0
"""Longest wait for news; each wait ends as soon as there is some."""
GRACE_S = 20.0
"""When a run is told to stop, what is being published has this long to end."""

Watch = Callable[[ScenePlan, Cost], None]
Order = Callable[[Iterable[Block]], Iterable[Block]]


class Pipeline:
    """Takes scenes through an executor with bounded work in flight."""

    def __init__(
        self, executor: Executor, watch: Watch, check: Callable[[], None] = lambda: None, order: Order = iter
    ) -> None:
        """Prepare a run.

        Args:
            executor: Where the work runs.
            watch: Told the cost of every unit as it ends.
            check: Called often; raises when the run must stop.
            order: In which order the blocks of a scene start; tests shuffle it.
        """
        self._executor, self._watch, self._check, self._order = executor, watch, check, order
        self._pending: dict[Ref, tuple[Step, tuple[Ref, ...]]] = {}
        self._to_predict, self._to_finish, self._to_read, self._others = Line(), Line(), Line(), Line()
        self._under_way = 0
        self.outcomes: list[Outcome] = []
        """Of the scenes that are over."""
        self.warnings: list[str] = []
        self._last_news = monotonic()

    def run(self, scenes: Sequence[ScenePlan]) -> list[Outcome]:
        """Process all scenes; a scene that fails does not stop the others.

        Raises:
            ClusterError: If nothing moves any more.
            Interrupted: As ``check`` raised it, once what was being published is.
        """
        blocks = self._blocks(scenes)
        try:
            while True:
                self._check()
                if self._start_work(blocks) and not self._pending:
                    return self.outcomes
                self._take_news()
        except Interrupted:
            self._end_publishing()
            raise

    def _blocks(self, scenes: Sequence[ScenePlan]) -> Iterator[tuple[SceneProgress, Callable[[], None]]]:
        """Beginnings of blocks and their scenes, scene by scene."""
        for number, plan in enumerate(scenes):
            scene = SceneProgress.of(number, plan)
            try:
                found = begin_scene(plan.store, plan.tiling, plan.fingerprint)
            except (SceneError, OSError) as error:
                self._fail(scene, error)
                continue
            if found.staged:
                yield scene, partial(self._commit, scene)
                continue
            scene.records = found.records
            self.warnings += found.warnings
            for block in self._order(plan.tiling.blocks()):
                if scene.over:
                    break
                yield scene, partial(self._begin, scene, block)

    def _start_work(self, blocks: Iterator[tuple[SceneProgress, Callable[[], None]]]) -> bool:
        """Start what the executor has room for: what has begun before what is new. Tell whether nothing is left.

        Without anything pending there may still be no room, until a process takes the place of one that died.
        """
        while True:
            for line in (self._to_predict, self._to_finish, self._to_read):
                line.start(self._submit)
            if not self._may_begin():
                self._others.start(self._submit)
                return False
            found = next(blocks, None)
            if found is None:
                self._others.start(self._submit)
                return not (self._to_predict or self._to_finish or self._others)
            scene, begin = found
            try:
                begin()
            except (SceneError, OSError) as error:  # what an earlier run has done of it shows that it must fail
                self._fail(scene, error)

    def _may_begin(self) -> bool:
        """Tell whether there may be one more block, before the rest of what the others leave to do."""
        most = self._executor.max_blocks
        if self._to_read or len(self._others) >= most:
            return False
        # With nothing to do but wait for blocks that have not begun, there must be one more.
        return self._under_way < most or not (self._pending or self._to_predict or self._to_finish)

    def _submit(self, step: Step) -> bool:
        """Start a step, if there is room, or drop it with its scene."""
        if step.scene.over:
            return True
        plan = step.scene.plan
        limit_s = deadline_s(plan, step.stage)
        unit = Unit(step.stage, plan, step.args, step.inputs, limit_s, step.attempt, step.returns)
        refs = self._executor.submit(unit)
        if refs is None:
            return False
        self._pending[refs[0]] = step, refs[1:]
        return True

    def _take_news(self) -> None:
        ended = self._executor.wait(POLL_S)
        for ref in ended:
            step, others = self._pending.pop(ref)
            try:
                value = self._executor.get(ref)
                if not step.scene.over:
                    step.then(value, *others)
            except Exception as error:  # noqa: BLE001  whatever ends a unit ends its scene at most, and others go on
                self._failed(step, error)
        if ended or not self._pending:
            self._last_news = monotonic()
        else:
            self._check_quiet()

    def _check_quiet(self) -> None:
        quiet_s = monotonic() - self._last_news
        longest_s = max(deadline_s(step.scene.plan, step.stage) for step, _ in self._pending.values())
        if quiet_s > 2 * longest_s:
            doing = sorted({step.stage.__name__ for step, _ in self._pending.values()})
            raise ClusterError(
                f"Nothing has moved for {quiet_s:.0f} s, twice the longest deadline; waiting for {', '.join(doing)}. "
                "The cluster does not answer: mend or restart it, then run the same command again."
            )

    def _failed(self, step: Step, error: Exception) -> None:
        """Try again what was lost, else give the scene up."""
        if isinstance(error, ClusterError):
            raise error
        if step.scene.over:
            return
        if not may_try_again(error, step.attempt):
            self._fail(step.scene, error)
            return
        step.scene.retries += 1
        if step.restart is None:
            self._need(replace(step, attempt=step.attempt + 1))
        else:
            step.restart(step.attempt + 1)

    def _need(self, step: Step) -> None:
        """Let a step start as soon as there is room."""
        lines = {predict_block: self._to_predict, finish_block: self._to_finish, read_block: self._to_read}
        lines.get(step.stage, self._others).add(step)

    def _need_unless_done(
        self, scene: SceneProgress, kind: str, stage: Callable[..., Any], block: Block | None, then: Then
    ) -> None:
        """Let a stage work on a block, or on the scene, unless an earlier run has."""
        if (SCENE if block is None else block.name) in scene.records[kind]:
            then(None)
        else:
            self._need(Step(scene, stage, () if block is None else (block,), then))

    def _begin(self, scene: SceneProgress, block: Block) -> None:
        record = scene.records[BLOCKS].get(block.name)
        if record is None:
            scene.under_way += 1
            self._under_way += 1
            self._read(scene, block, 1)
        else:
            scene.resumed += 1
            self._finish(scene, block, resumed_cost(record.facts))

    def _read(self, scene: SceneProgress, block: Block, attempt: int) -> None:
        """Read, predict and finish: pixels and scores exist in memory alone, so each attempt begins here."""
        self._chain(scene, block, attempt, read_block, (), self._was_read)

    def _chain(
        self,
        scene: SceneProgress,
        block: Block,
        attempt: int,
        stage: Callable[..., Any],
        inputs: tuple[Ref, ...],
        then: Then,
    ) -> None:
        returns = 1 if stage is finish_block else 2
        follow, restart = partial(then, scene, block, attempt), partial(self._read, scene, block)
        self._need(Step(scene, stage, (block,), follow, inputs, returns, attempt, restart))

    def _was_read(self, scene: SceneProgress, block: Block, attempt: int, facts: tuple[Cost, str], found: Ref) -> None:
        cost, state = facts
        self._watch(scene.plan, cost)
        if state == BLANK:
            self._was_finished(scene, block, attempt, Cost("finish"))
        elif state == TODO:
            self._chain(scene, block, attempt, predict_block, (found,), self._was_predicted)
        else:
            self._scored(scene, block, attempt, found)

    def _was_predicted(self, scene: SceneProgress, block: Block, attempt: int, cost: Cost, scored: Ref) -> None:
        self._watch(scene.plan, cost)
        self._scored(scene, block, attempt, scored)

    def _scored(self, scene: SceneProgress, block: Block, attempt: int, scored: Ref) -> None:
        scene.scored[block.row, block.col] = scored, attempt
        if scene.spill.is_open((block.row, block.col)):
            self._add_spill(scene, (block.row, block.col))

    def _add_spill(self, scene: SceneProgress, place: Place) -> None:
        if place in scene.scored:
            scored, attempt = scene.scored.pop(place)
            block = scene.plan.tiling.block(*place)
            self._chain(scene, block, attempt, finish_block, (scored,), self._was_finished)

    def _was_finished(self, scene: SceneProgress, block: Block, attempt: int, cost: Cost) -> None:  # noqa: ARG002
        scene.under_way -= 1
        self._under_way -= 1
        self._finish(scene, block, cost)

    def _finish(self, scene: SceneProgress, block: Block, cost: Cost) -> None:
        self._watch(scene.plan, cost)
        scene.components += cost.components
        scene.plan.polygons.check_count(scene.components, scene.plan.scene.path)
        for place in scene.spill.arrive((block.row, block.col)):
            self._add_spill(scene, place)
        scene.decided += 1
        if scene.decided == scene.plan.tiling.count:
            for part in RASTERS:
                self._publish(scene, part)
        around = [scene.plan.tiling.block(*place) for place in scene.finished.arrive((block.row, block.col))]
        if not scene.plan.scene.grid.crs:
            return
        if scene.plan.polygons.min_area_px > 1:
            for ready in around:
                self._need_unless_done(scene, GRAPHS, find_graph, ready, partial(self._has_graph, scene))
        else:
            self._trace(scene, around)

    def _has_graph(self, scene: SceneProgress, cost: Cost | None) -> None:
        self._note(scene, cost)
        self._pass(scene, self._absorb)

    def _absorb(self, scene: SceneProgress) -> None:
        self._need_unless_done(scene, CHANGES, absorb_small, None, partial(self._was_absorbed, scene))

    def _was_absorbed(self, scene: SceneProgress, cost: Cost | None) -> None:
        self._note(scene, cost)
        for block in scene.plan.tiling.blocks():
            self._need_unless_done(scene, MERGED, recolour_block, block, partial(self._was_recoloured, scene, block))

    def _was_recoloured(self, scene: SceneProgress, block: Block, cost: Cost | None) -> None:
        self._note(scene, cost)
        self._trace(scene, [scene.plan.tiling.block(*p) for p in scene.merged.arrive((block.row, block.col))])

    def _trace(self, scene: SceneProgress, blocks: Iterable[Block]) -> None:
        for block in blocks:
            self._need_unless_done(scene, TRACED, trace_finished, block, partial(self._was_traced, scene))

    def _was_traced(self, scene: SceneProgress, cost: Cost | None) -> None:
        self._note(scene, cost)
        self._pass(scene, partial(self._publish, part=publish_polygons))

    def _note(self, scene: SceneProgress, cost: Cost | None) -> None:
        """Report what a unit took; None for one that an earlier run did."""
        if cost is not None:
            self._watch(scene.plan, cost)

    def _pass(self, scene: SceneProgress, then: Callable[[SceneProgress], None]) -> None:
        """Count a block that is through the present pass; go on once all are."""
        scene.passed += 1
        if scene.passed == scene.plan.tiling.count:
            scene.passed = 0
            then(scene)

    def _publish(self, scene: SceneProgress, part: Callable[[ScenePlan], Staged]) -> None:
        self._need(Step(scene, part, (), partial(self._was_staged, scene)))

    def _was_staged(self, scene: SceneProgress, part: Staged) -> None:
        self._watch(scene.plan, part.cost)
        scene.staged.append(part)
        if len(scene.staged) == len(RASTERS) + bool(scene.plan.scene.grid.crs):
            self._need(Step(scene, seal_scene, (tuple(scene.staged),), partial(self._was_sealed, scene)))

    def _was_sealed(self, scene: SceneProgress, _: None) -> None:
        self._commit(scene)

    def _commit(self, scene: SceneProgress) -> None:
        self._need(Step(scene, commit_scene, (), partial(self._was_committed, scene)))

    def _was_committed(self, scene: SceneProgress, value: tuple[Cost, Mapping[str, Any]]) -> None:
        self._watch(scene.plan, value[0])
        self._end(scene, results=value[1])

    def _fail(self, scene: SceneProgress, error: Exception) -> None:
        self._under_way -= scene.under_way
        scene.scored.clear()
        self._end(scene, error=describe_failure(scene.plan, error), resumable=is_resumable(error))

    def _end(self, scene: SceneProgress, **result: Any) -> None:
        scene.over = True
        plan = scene.plan
        self.outcomes.append(
            Outcome(
                plan.scene.path,
                plan.scene.scene_id,
                blocks=plan.tiling.count,
                resumed=scene.resumed,
                retries=scene.retries,
                **result,
            )
        )

    def _end_publishing(self) -> None:
        until = monotonic() + GRACE_S
        while monotonic() < until:
            self._others.keep(lambda step: step.stage in LAST_STAGES)
            self._others.start(self._submit)
            if not any(step.stage in LAST_STAGES for step, _ in self._pending.values()):
                return
            self._take_news()
