"""The executor that runs each unit in this process, in the calling thread."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from geoseg import faults
from geoseg.config import RunSettings
from geoseg.engine.executor import LostError, Ref, Unit, results_of, settle, value_or_raise
from geoseg.model.bundle.bundle import Bundle
from geoseg.model.hardware import find_hardware
from geoseg.model.inference import Inference, Started
from geoseg.stages.tracing import load_kernels
from geoseg.store.scratch_space import THIS_MACHINE, find_room

if TYPE_CHECKING:  # only the process that predicts needs torch
    from geoseg.model.predictor import Predictor


class InlineExecutor:
    """Runs each unit when it is submitted: for tests, debugging and machines without Ray."""

    workers = max_blocks = 1
    description = "this process"

    def __init__(self, settings: RunSettings) -> None:
        self.device: str = settings.device
        if settings.device == "auto":
            import torch  # noqa: PLC0415  only the process that predicts needs it

            self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.hardware = find_hardware(self.device)
        self.warnings: list[str] = []
        self.rooms = {THIS_MACHINE: find_room(settings.scratch_dir)}
        self._ended: list[Ref] = []

    def start(self, network: tuple[Bundle, Inference] | None, block_bytes: int) -> Started:  # noqa: ARG002
        """Load the bundle in this process."""
        load_kernels()
        self._predictor: Predictor | None = None
        if network is None:
            return Started(0)
        from geoseg.model.load import start_predictor  # noqa: PLC0415

        self._predictor = start_predictor(*network)
        task = self._predictor.task
        return Started(task.batch_size, task.network_bytes, task.warnings)

    def submit(self, unit: Unit) -> tuple[Ref, ...] | None:
        """Run the unit now. The next one is refused until `wait` has returned this one."""
        if self._ended:
            return None
        refs = results_of(unit)
        try:
            with _deadline(unit.deadline_s):
                value = run_unit(unit, self._predictor)
        except Exception as error:  # noqa: BLE001  `get` raises it, as in every executor
            value = error
        self._ended.append(settle(refs, value))
        return refs

    def wait(self, timeout_s: float) -> list[Ref]:  # noqa: ARG002
        """Everything submitted has run."""
        ended, self._ended = self._ended, []
        return ended

    def get(self, ref: Ref) -> Any:
        """The value; raises what its unit raised."""
        return value_or_raise(ref.take())

    def close(self) -> None:
        """Nothing to do."""


def run_unit(unit: Unit, predictor: "Predictor | None") -> Any:
    """Run a unit in this thread; its inputs must have values."""
    args = [unit.plan, *unit.args, *(ref.value for ref in unit.inputs)]
    with faults.attempt(unit.attempt):
        return unit.stage.function(*([predictor] if unit.stage.needs_model else []), *args)


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """Raise LostError after a time if this is the main thread; signals reach no other thread."""

    def expire(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
        raise LostError(f"it took longer than {seconds:g} s")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    started = time.monotonic()
    before = signal.signal(signal.SIGALRM, expire)
    others_s, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, before)
        # Restore a timer that was set before.
        left_s = max(1e-3, others_s - (time.monotonic() - started)) if others_s else 0.0
        signal.setitimer(signal.ITIMER_REAL, left_s)
