"""The engine that is several threads of this process: all cores of a machine without Ray and its memory."""

import sys
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from geoseg.config import RunSettings
from geoseg.errors import SettingsError
from geoseg.model.bundle import Bundle
from geoseg.model.inference import Inference, Started
from geoseg.run.executor import LostError, Ref, Result, Unit, results_of, settle
from geoseg.run.inline import InlineExecutor, run_unit

if TYPE_CHECKING:  # only the process that predicts needs torch
    from geoseg.model.predictor import Predictor

STOP_S = 8.0
"""When a run ends or is told to stop, units that still run have this long to end, so that none writes later. With what
publishing is given that is less than the half minute after which a cluster kills."""


MAX_THREADS = 256
"""Workers of a process at most: hardly a machine has as many CPUs, and the system refuses thousands of threads."""


def require_cpu(device: str, workers: int) -> None:
    """Refuse several threads that would share a GPU, and more than a process can have.

    Raises:
        SettingsError: If they would, or are.
    """
    if workers > MAX_THREADS:
        raise SettingsError(
            f"run.workers={workers} with run.address=inline are threads of one process, at most {MAX_THREADS}. "
            "Set run.workers to the number of CPUs, or use run.address=local."
        )
    if device != "cpu" and workers > 1:
        raise SettingsError(
            f"run.workers={workers} with run.address=inline is for CPUs; one worker keeps the {device} device busy. "
            "Set run.workers=1, or run.device=cpu, or use run.address=local."
        )


class ThreadsExecutor(InlineExecutor):
    """Runs as many units at a time as there are workers, each in a thread that does units of all kinds."""

    def __init__(self, settings: RunSettings, workers: int) -> None:
        super().__init__(settings)
        require_cpu(self.device, workers)
        # One more than are worked on: a block may have to wait for its neighbours before it can be finished.
        self.workers, self.max_blocks = workers, workers + 1
        self.description = f"this process, {workers} threads"
        self._news: SimpleQueue[tuple[_Job, Any]] = SimpleQueue()
        self._hands: list[_Hand] = []
        self._left: list[_Hand] = []

    def start(self, bundle: Bundle, inference: Inference, block_bytes: int) -> Started:
        """Load the bundle once for all threads."""
        started = super().start(bundle, inference, block_bytes)
        self._hands = [self._new_hand() for _ in range(self.workers)]
        return started

    def submit(self, unit: Unit) -> tuple[Ref, ...] | None:
        """Give the unit to a thread that has nothing to do."""
        hand = next((hand for hand in self._hands if hand.job is None), None)
        if hand is None:
            return None
        refs = results_of(unit)
        hand.take(_Job(unit, refs, monotonic() + unit.deadline_s))
        return refs

    def wait(self, timeout_s: float) -> list[Ref]:
        """Wait for threads; one that takes too long is left to itself and another takes its place."""
        ended, until = list[Ref](), monotonic() + timeout_s
        until = min([until, *(hand.job.until for hand in self._hands if hand.job)])
        while True:
            try:
                job, value = self._news.get(timeout=0 if ended else max(0.0, until - monotonic()))
            except Empty:
                break
            # Nobody waits any more for what comes after its deadline.
            for hand in self._hands:
                if hand.job is job:
                    hand.job = None
                    ended.append(settle(job.refs, value))
        for place, hand in enumerate(self._hands):
            if hand.job and hand.job.until <= monotonic():
                overdue = LostError(f"it took longer than {hand.job.unit.deadline_s:g} s")
                ended.append(settle(hand.job.refs, overdue))
                hand.stop()
                self._left.append(hand)
                self._hands[place] = self._new_hand()
        return ended

    def close(self) -> None:
        """Wait for the units that still run, unless whoever interrupts the run a second time will not."""
        for hand in self._hands:
            hand.stop()
        if isinstance(sys.exception(), KeyboardInterrupt):
            return
        until = monotonic() + STOP_S
        for hand in (*self._hands, *self._left):
            hand.join(max(0.0, until - monotonic()))
        if running := sum(hand.is_alive() for hand in (*self._hands, *self._left)):
            self.warnings.append(
                f"{running} units of work still run in this process and cannot be stopped. End it before another run "
                "works on the same output."
            )

    def _new_hand(self) -> "_Hand":
        return _Hand(self._predictor.twin(), self._news)


class _Job(NamedTuple):
    """A unit that a thread works on."""

    unit: Unit
    refs: tuple[Result, ...]
    until: float
    """When it counts as lost, on the monotonic clock."""


class _Hand(Thread):
    """A thread with a predictor of its own."""

    def __init__(self, predictor: "Predictor", news: SimpleQueue[tuple[_Job, Any]]) -> None:
        # No thread can be stopped from outside: one that hangs must not keep the process from ending.
        super().__init__(name="geoseg worker", daemon=True)
        self.job: _Job | None = None
        self._predictor, self._news = predictor, news
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self.start()

    def take(self, job: _Job) -> None:
        """Start to work on a job."""
        self.job = job
        self._jobs.put(job)

    def stop(self) -> None:
        """End after the job at hand."""
        self._jobs.put(None)

    def run(self) -> None:
        """Work on jobs until told to stop."""
        while (job := self._jobs.get()) is not None:
            try:
                value = run_unit(job.unit, self._predictor)
            except BaseException as error:  # noqa: BLE001  raised where the value is asked for, as by every executor
                # What would end a process, such as a panic in a library, ends the unit.
                value = error if isinstance(error, Exception) else LostError(f"{type(error).__name__}: {error}")
            self._news.put((job, value))
            # The next job may be long in coming, and these hold pixels.
            del job, value
