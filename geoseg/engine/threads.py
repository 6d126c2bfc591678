"""The executor that runs units in several threads of this process: all cores of a machine without Ray."""

import sys
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from geoseg.config import RunSettings
from geoseg.engine.executor import LostError, Ref, Result, Unit, results_of, settle
from geoseg.engine.inline import InlineExecutor, run_unit
from geoseg.model.bundle.bundle import Bundle
from geoseg.model.inference import Inference, Started
from geoseg.plan.sizing import require_cpu

if TYPE_CHECKING:  # only the process that predicts needs torch
    from geoseg.model.predictor import Predictor

STOP_S = 8.0
"""Time for running units to end when the run ends or is stopped, so that none writes later. Together with
`geoseg.engine.scheduler.GRACE_S` it is less than the 30 s after which clusters kill a process."""


class ThreadsExecutor(InlineExecutor):
    """Runs as many units at a time as there are worker threads; each runs units of all stages."""

    def __init__(self, settings: RunSettings, workers: int) -> None:
        super().__init__(settings)
        require_cpu(self.device, workers)
        # One more than threads: a block may wait for its neighbours before it can be finished.
        self.workers, self.max_blocks = workers, workers + 1
        self.description = f"this process, {workers} threads"
        self._ended_assignments: SimpleQueue[tuple[_Assignment, Any]] = SimpleQueue()
        self._workers: list[_WorkerThread] = []
        self._abandoned: list[_WorkerThread] = []

    def start(self, network: tuple[Bundle, Inference] | None, block_bytes: int) -> Started:
        """Load the bundle once for all threads."""
        started = super().start(network, block_bytes)
        self._workers = [self._new_worker() for _ in range(self.workers)]
        return started

    def submit(self, unit: Unit) -> tuple[Ref, ...] | None:
        """Give the unit to an idle thread."""
        worker = next((worker for worker in self._workers if worker.assignment is None), None)
        if worker is None:
            return None
        refs = results_of(unit)
        worker.assign(_Assignment(unit, refs, monotonic() + unit.deadline_s))
        return refs

    def wait(self, timeout_s: float) -> list[Ref]:
        """Wait for threads; a thread that exceeds a deadline is abandoned and replaced."""
        ended, until = list[Ref](), monotonic() + timeout_s
        until = min([until, *(worker.assignment.until for worker in self._workers if worker.assignment)])
        while True:
            try:
                assignment, value = self._ended_assignments.get(timeout=0 if ended else max(0.0, until - monotonic()))
            except Empty:
                break
            # A result that comes after its deadline is dropped.
            for worker in self._workers:
                if worker.assignment is assignment:
                    worker.assignment = None
                    ended.append(settle(assignment.refs, value))
        for place, worker in enumerate(self._workers):
            if worker.assignment and worker.assignment.until <= monotonic():
                overdue = LostError(f"it took longer than {worker.assignment.unit.deadline_s:g} s")
                ended.append(settle(worker.assignment.refs, overdue))
                worker.stop()
                self._abandoned.append(worker)
                self._workers[place] = self._new_worker()
        return ended

    def close(self) -> None:
        """Wait for running units, unless the run was interrupted a second time."""
        for worker in self._workers:
            worker.stop()
        if isinstance(sys.exception(), KeyboardInterrupt):
            return
        until = monotonic() + STOP_S
        for worker in (*self._workers, *self._abandoned):
            worker.join(max(0.0, until - monotonic()))
        if running := sum(worker.is_alive() for worker in (*self._workers, *self._abandoned)):
            self.warnings.append(
                f"{running} units of work still run in this process and cannot be stopped. End it before another run "
                "works on the same output."
            )

    def _new_worker(self) -> "_WorkerThread":
        predictor = None if self._predictor is None else self._predictor.twin()
        return _WorkerThread(predictor, self._ended_assignments)


class _Assignment(NamedTuple):
    """A unit that a thread works on."""

    unit: Unit
    refs: tuple[Result, ...]
    until: float
    """When it counts as lost, on the monotonic clock."""


class _WorkerThread(Thread):
    """A thread with a predictor of its own, if the run has any."""

    def __init__(self, predictor: "Predictor | None", ended: SimpleQueue[tuple[_Assignment, Any]]) -> None:
        # A thread cannot be stopped from outside: as a daemon, one that hangs does not keep the process alive.
        super().__init__(name="geoseg worker", daemon=True)
        self.assignment: _Assignment | None = None
        self._predictor, self._ended_assignments = predictor, ended
        self._queue: SimpleQueue[_Assignment | None] = SimpleQueue()
        self.start()

    def assign(self, assignment: _Assignment) -> None:
        """Run a unit next."""
        self.assignment = assignment
        self._queue.put(assignment)

    def stop(self) -> None:
        """End after the current unit."""
        self._queue.put(None)

    def run(self) -> None:
        """Run units until `stop`."""
        while (assignment := self._queue.get()) is not None:
            try:
                value = run_unit(assignment.unit, self._predictor)
            except BaseException as error:  # noqa: BLE001  `get` raises it, as in every executor
                # An exception that would end a process, such as a panic in a library, ends the unit only.
                value = error if isinstance(error, Exception) else LostError(f"{type(error).__name__}: {error}")
            self._ended_assignments.put((assignment, value))
            # They hold pixels, and the next unit may come late.
            del assignment, value
