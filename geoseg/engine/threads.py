"""The engine that is several threads of this process: all cores of a machine without Ray and its memory."""

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
"""When a run ends or is told to stop, units that still run have this long to end, so that none writes later. With what
publishing is given that is less than the half minute after which a cluster kills."""


class ThreadsExecutor(InlineExecutor):
    """Runs as many units at a time as there are workers, each in a thread that does units of all kinds."""

    def __init__(self, settings: RunSettings, workers: int) -> None:
        super().__init__(settings)
        require_cpu(self.device, workers)
        # One more than are worked on: a block may have to wait for its neighbours before it can be finished.
        self.workers, self.max_blocks = workers, workers + 1
        self.description = f"this process, {workers} threads"
        self._ended_jobs: SimpleQueue[tuple[_Assignment, Any]] = SimpleQueue()
        self._workers: list[_WorkerThread] = []
        self._abandoned: list[_WorkerThread] = []

    def start(self, bundle: Bundle, inference: Inference, block_bytes: int) -> Started:
        """Load the bundle once for all threads."""
        started = super().start(bundle, inference, block_bytes)
        self._workers = [self._new_worker() for _ in range(self.workers)]
        return started

    def submit(self, unit: Unit) -> tuple[Ref, ...] | None:
        """Give the unit to a thread that has nothing to do."""
        worker = next((worker for worker in self._workers if worker.job is None), None)
        if worker is None:
            return None
        refs = results_of(unit)
        worker.take(_Assignment(unit, refs, monotonic() + unit.deadline_s))
        return refs

    def wait(self, timeout_s: float) -> list[Ref]:
        """Wait for threads; one that takes too long is left to itself and another takes its place."""
        ended, until = list[Ref](), monotonic() + timeout_s
        until = min([until, *(worker.job.until for worker in self._workers if worker.job)])
        while True:
            try:
                job, value = self._ended_jobs.get(timeout=0 if ended else max(0.0, until - monotonic()))
            except Empty:
                break
            # Nobody waits any more for what comes after its deadline.
            for worker in self._workers:
                if worker.job is job:
                    worker.job = None
                    ended.append(settle(job.refs, value))
        for place, worker in enumerate(self._workers):
            if worker.job and worker.job.until <= monotonic():
                overdue = LostError(f"it took longer than {worker.job.unit.deadline_s:g} s")
                ended.append(settle(worker.job.refs, overdue))
                worker.stop()
                self._abandoned.append(worker)
                self._workers[place] = self._new_worker()
        return ended

    def close(self) -> None:
        """Wait for the units that still run, unless whoever interrupts the run a second time will not."""
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
        return _WorkerThread(self._predictor.twin(), self._ended_jobs)


class _Assignment(NamedTuple):
    """A unit that a thread works on."""

    unit: Unit
    refs: tuple[Result, ...]
    until: float
    """When it counts as lost, on the monotonic clock."""


class _WorkerThread(Thread):
    """A thread with a predictor of its own."""

    def __init__(self, predictor: "Predictor", news: SimpleQueue[tuple[_Assignment, Any]]) -> None:
        # No thread can be stopped from outside: one that hangs must not keep the process from ending.
        super().__init__(name="geoseg worker", daemon=True)
        self.job: _Assignment | None = None
        self._predictor, self._ended_jobs = predictor, news
        self._jobs: SimpleQueue[_Assignment | None] = SimpleQueue()
        self.start()

    def take(self, job: _Assignment) -> None:
        """Start to work on a job."""
        self.job = job
        self._jobs.put(job)

    def stop(self) -> None:
        """End after the job at worker."""
        self._jobs.put(None)

    def run(self) -> None:
        """Work on jobs until told to stop."""
        while (job := self._jobs.get()) is not None:
            try:
                value = run_unit(job.unit, self._predictor)
            except BaseException as error:  # noqa: BLE001  raised where the value is asked for, as by every executor
                # What would end a process, such as a panic in a library, ends the unit.
                value = error if isinstance(error, Exception) else LostError(f"{type(error).__name__}: {error}")
            self._ended_jobs.put((job, value))
            # The next job may be long in coming, and these hold pixels.
            del job, value
