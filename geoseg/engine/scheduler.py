"""The scheduler: takes the units that the scenes ask for through an executor, whatever it is.

It bounds the work in flight, tries again what was lost, and ends a scene that fails. What follows what is said in
`geoseg.engine.scene_flow`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import Any

from geoseg.engine.executor import Executor, Ref, Unit
from geoseg.engine.ready_queue import Line
from geoseg.engine.retries import deadline_s, describe_failure, is_resumable, may_try_again
from geoseg.engine.scene_flow import SceneFlow, Watch
from geoseg.engine.scene_state import Outcome, SceneState, Step
from geoseg.errors import ClusterError, Interrupted, LockLostError, SceneError
from geoseg.grid.tiling import Block
from geoseg.plan.resume import begin_scene
from geoseg.plan.scene_plan import ScenePlan
from geoseg.stages.scoring import finish_block, predict_block, read_block

POLL_S = 1.0
"""Longest wait for news; each wait ends as soon as there is some."""
GRACE_S = 20.0
"""When a run is told to stop, what is being published has this long to end."""

Order = Callable[[Iterable[Block]], Iterable[Block]]


class Scheduler:
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
        self._active: dict[int, SceneState] = {}
        self.outcomes: list[Outcome] = []
        """Of the scenes that are over."""
        self.warnings: list[str] = []
        self._last_news = monotonic()

    def run(self, scenes: Sequence[ScenePlan]) -> list[Outcome]:
        """Process all scenes; a scene that fails does not stop the others.

        Raises:
            ClusterError: If nothing moves any more.
            Interrupted: As ``check`` raised it, once what was being published is.
            LockLostError: If another run has taken over the output.
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

    def _blocks(self, scenes: Sequence[ScenePlan]) -> Iterator[tuple[SceneState, Callable[[], None]]]:
        """Beginnings of blocks and their scenes, scene by scene."""
        for number, plan in enumerate(scenes):
            scene = self._active[number] = SceneState.of(number, plan)
            flow = SceneFlow(scene, self._need, self._watch, self._succeed)
            try:
                found = begin_scene(plan.store, plan.tiling, plan.fingerprint)
            except (SceneError, OSError) as error:
                self._fail(scene, error)
                continue
            if found.staged:
                yield scene, flow.commit
                continue
            scene.records = found.records
            self.warnings += found.warnings
            for block in self._order(plan.tiling.blocks()):
                if scene.over:
                    break
                yield scene, partial(flow.begin, block)

    def _start_work(self, blocks: Iterator[tuple[SceneState, Callable[[], None]]]) -> bool:
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
        under_way = sum(scene.under_way for scene in self._active.values())
        return under_way < most or not (self._pending or self._to_predict or self._to_finish)

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
                "The cluster does not answer: fix or restart it, then run the same command again."
            )

    def _failed(self, step: Step, error: Exception) -> None:
        """Try again what was lost, else give the scene up."""
        if isinstance(error, ClusterError | LockLostError):
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

    def _succeed(self, scene: SceneState, results: Mapping[str, Any]) -> None:
        self._end(scene, results=results)

    def _fail(self, scene: SceneState, error: Exception) -> None:
        scene.scored.clear()
        self._end(scene, error=describe_failure(scene.plan, error), resumable=is_resumable(error))

    def _end(self, scene: SceneState, **result: Any) -> None:
        scene.over = True
        del self._active[scene.number]
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
            self._others.keep(lambda step: step.scene.is_decided)
            self._others.start(self._submit)
            if not any(step.scene.is_decided for step, _ in self._pending.values()):
                return
            self._take_news()
