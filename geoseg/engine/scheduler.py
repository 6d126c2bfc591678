"""The scheduler: runs the flows of all scenes and their units of work on an executor.

It limits the blocks in work, repeats lost units, and ends a scene that fails. `geoseg.engine.scene_flow` defines the
order of the work in a scene.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import Any

from geoseg.engine.executor import Executor, Ref, Unit
from geoseg.engine.ready_queue import ReadyQueue, RunningFlow, Task
from geoseg.engine.retries import deadline_s, describe_failure, is_resumable, may_try_again
from geoseg.engine.scene_flow import Until, commit, process_block, scene_flows
from geoseg.engine.scene_state import Outcome, SceneState, Watch
from geoseg.errors import ClusterError, Interrupted, LockLostError, SceneError
from geoseg.grid.tiling import Block
from geoseg.plan.resume import begin_scene
from geoseg.plan.scene_plan import ScenePlan
from geoseg.stages.stage import FINISH, FINISH_DATES, PREDICT, PREDICT_DATE, READ

POLL_S = 1.0
"""Longest wait for an executor; a wait ends when a unit ends."""
GRACE_S = 20.0
"""When a run is stopped, scenes that are being published have this time to end."""

Order = Callable[[Iterable[Block]], Iterable[Block]]


class Scheduler:
    """Runs the flows of scenes on an executor with a limited number of blocks in work."""

    def __init__(
        self, executor: Executor, watch: Watch, check: Callable[[], None] = lambda: None, order: Order = iter
    ) -> None:
        """Prepare a run.

        Args:
            executor: Where the work runs.
            watch: Called with the metrics of every unit that ends.
            check: Called often; raises when the run must stop.
            order: Orders the blocks of a scene; tests shuffle it.
        """
        self._executor, self._watch, self._check, self._order = executor, watch, check, order
        self._pending: dict[Ref, tuple[Task, tuple[Ref, ...]]] = {}
        self._runnable: deque[tuple[RunningFlow, Any]] = deque()
        self._to_read, self._others = ReadyQueue(), ReadyQueue()
        # In this order: blocks in work before new ones.
        blocks = (PREDICT, PREDICT_DATE, FINISH, FINISH_DATES)
        self._queues = {**{stage.name: ReadyQueue() for stage in blocks}, READ.name: self._to_read}
        self._active: dict[int, SceneState] = {}
        self.outcomes: list[Outcome] = []
        """Outcomes of the scenes that have ended."""
        self.warnings: list[str] = []
        self._last_progress = monotonic()

    def run(self, scenes: Sequence[ScenePlan]) -> list[Outcome]:
        """Process all scenes; a scene that fails does not stop the others.

        Raises:
            ClusterError: If no unit ends for too long.
            Interrupted: Raised by ``check``; after the scenes that were being published.
            LockLostError: If another run has taken over the output.
        """
        flows = self._new_flows(scenes)
        try:
            while True:
                self._check()
                if self._start_work(flows) and not self._pending:
                    return self.outcomes
                self._collect()
        except Interrupted:
            self._end_publishing()
            raise

    def _new_flows(self, scenes: Sequence[ScenePlan]) -> Iterator[RunningFlow]:
        """The flows of all blocks, scene by scene; a scene begins when its first flow is requested."""
        for number, plan in enumerate(scenes):
            scene = self._active[number] = SceneState.of(number, plan, self._watch)
            try:
                earlier = begin_scene(plan.store, plan.tiling, plan.fingerprint)
            except (SceneError, OSError) as error:
                self._fail(scene, error)
                continue
            if earlier.staged:
                yield RunningFlow(scene, partial(commit, scene))
                continue
            scene.records = earlier.records
            self.warnings += earlier.warnings
            for begin in scene_flows(scene):
                self._advance(RunningFlow(scene, begin))
            for block in self._order(plan.tiling.blocks()):
                if scene.over:
                    break
                yield RunningFlow(scene, partial(process_block, scene, block))

    def _start_work(self, flows: Iterator[RunningFlow]) -> bool:
        """Start units until the executor is full; True if no work is left.

        The executor may be full without a pending unit, until a new process replaces one that died.
        """
        while True:
            for queue in self._queues.values():
                queue.start(self._submit)
            if not self._may_begin():
                self._others.start(self._submit)
                return False
            flow = next(flows, None)
            if flow is None:
                self._others.start(self._submit)
                return not (any(self._queues.values()) or self._others)
            self._advance(flow)

    def _may_begin(self) -> bool:
        """Whether one more block may begin."""
        limit = self._executor.max_blocks
        if self._to_read or len(self._others) >= limit:
            return False
        # If all blocks in work wait for blocks that have not begun, one more must begin.
        in_work = sum(scene.blocks_in_work for scene in self._active.values())
        return in_work < limit or not (self._pending or any(self._queues.values()))

    def _advance(self, flow: RunningFlow, value: Any = None) -> None:
        """Continue a flow to its next request, and all flows that this wakes."""
        self._runnable.append((flow, value))
        while self._runnable:
            flow, value = self._runnable.popleft()
            if flow.scene.over:
                continue
            try:
                request = flow.steps.send(value)
            except StopIteration as end:
                if end.value is not None:
                    self._end(flow.scene, results=end.value)
            except Exception as error:  # noqa: BLE001  any error in a flow ends its scene only
                self._fail(flow.scene, error)
            else:
                if isinstance(request, Until):
                    request.barrier.when_open(partial(self._runnable.append, (flow, None)), request.block)
                else:
                    self._enqueue(Task(flow, request, flow.attempt if request.stage.in_memory else 1))

    def _enqueue(self, task: Task) -> None:
        self._queues.get(task.work.stage.name, self._others).add(task)

    def _submit(self, task: Task) -> bool:
        """Submit a task; False if there is no room. A task of a scene that has ended is dropped."""
        if task.flow.scene.over:
            return True
        plan, work = task.flow.scene.plan, task.work
        args = work.args if work.block is None else (work.block, *work.args)
        refs = self._executor.submit(
            Unit(work.stage, plan, args, work.inputs, deadline_s(plan, work.stage), task.attempt)
        )
        if refs is None:
            return False
        self._pending[refs[0]] = task, refs[1:]
        return True

    def _collect(self) -> None:
        """Wait for units to end, and continue their flows."""
        ended = self._executor.wait(POLL_S)
        for ref in ended:
            task, large = self._pending.pop(ref)
            try:
                value = self._executor.get(ref)
            except Exception as error:  # noqa: BLE001  any error of a unit ends its scene at most
                self._retry_or_fail(task, error)
            else:
                self._advance(task.flow, (value, *large) if large else value)
        if ended or not self._pending:
            self._last_progress = monotonic()
        else:
            self._check_progress()

    def _check_progress(self) -> None:
        quiet_s = monotonic() - self._last_progress
        longest_s = max(deadline_s(task.flow.scene.plan, task.work.stage) for task, _ in self._pending.values())
        if quiet_s > 2 * longest_s:
            stages = sorted({task.work.stage.name for task, _ in self._pending.values()})
            raise ClusterError(
                f"No unit of work has ended for {quiet_s:.0f} s, twice the longest deadline; waiting for "
                f"{', '.join(stages)}. The cluster does not answer: repair or restart it, then run the same command "
                "again."
            )

    def _retry_or_fail(self, task: Task, error: Exception) -> None:
        """Repeat a unit that was lost; fail the scene for any other error or after the last attempt."""
        if isinstance(error, ClusterError | LockLostError):
            raise error
        scene = task.flow.scene
        if scene.over:
            return
        if not may_try_again(error, task.attempt):
            self._fail(scene, error)
            return
        scene.retries += 1
        if task.work.stage.in_memory:
            task.flow.restart()
            self._advance(task.flow)
        else:
            self._enqueue(replace(task, attempt=task.attempt + 1))

    def _fail(self, scene: SceneState, error: Exception) -> None:
        if not scene.over:
            self._end(scene, error=describe_failure(scene.plan, error), resumable=is_resumable(error))

    def _end(self, scene: SceneState, **result: Any) -> None:
        scene.close()
        del self._active[scene.number]
        source, blocks = scene.plan.scene, scene.plan.tiling.count
        outcome = Outcome(source.path, source.scene_id, blocks=blocks, resumed=scene.resumed, retries=scene.retries)
        self.outcomes.append(replace(outcome, **result))

    def _end_publishing(self) -> None:
        until = monotonic() + GRACE_S
        while monotonic() < until:
            self._others.keep(lambda task: task.flow.scene.finished.is_open)
            self._others.start(self._submit)
            if not any(task.flow.scene.finished.is_open for task, _ in self._pending.values()):
                return
            self._collect()
