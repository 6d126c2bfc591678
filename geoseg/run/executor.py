"""What the pipeline needs of an engine, and the engine that is this process."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, Protocol

from geoseg.config import RunSettings
from geoseg.errors import SettingsError
from geoseg.model.bundle import Bundle
from geoseg.model.hardware import Hardware, find_hardware
from geoseg.model.inference import Inference, Started
from geoseg.run import faults
from geoseg.run.plan import ScenePlan
from geoseg.run.stages import predict_block

Ref = Any
"""A result that may not exist yet. As an input of another unit, it stands for its value."""


class LostError(Exception):
    """What a unit of work needs is gone, its process, node or input, or it took too long. It may be tried again."""


class InputLostError(LostError):
    """A unit's input is gone with its node; the process that was to work on it is well."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One piece of work: ``stage(plan, *args, *inputs)``."""

    stage: Callable[..., Any]
    """A plain function; `predict_block` also gets the predictor, before all else."""
    plan: ScenePlan
    """The scene's: the same for all its units, so it need not travel with each."""
    args: tuple[Any, ...]
    """The block, unless it is work on the whole scene, and other small values."""
    inputs: tuple[Ref, ...]
    """What earlier units on the block have left for this one; references stand for their values."""
    deadline_s: float
    """Seconds after which it counts as lost."""
    attempt: int = 1
    """Counts from 1."""
    returns: int = 1
    """2 if the stage returns a pair: a small value, and a large one that only travels to another unit."""

    @property
    def needs_model(self) -> bool:
        """Tell whether it runs where a predictor is."""
        return self.stage is predict_block


class Executor(Protocol):
    """Runs units of work, somewhere, and hands out references to the values they return."""

    workers: int
    """Number of predictors."""
    device: str
    """``cpu`` or ``cuda``: where they predict."""
    hardware: Hardware
    """What they all have."""
    description: str
    """Where the work runs, in words."""
    warnings: list[str]
    """What the operator should know of it in the end, such as nodes that were put aside."""
    max_blocks: int
    """Blocks that may be under way at a time, from the start of their reading until they are finished."""

    def start(self, bundle: Bundle, inference: Inference, block_bytes: int) -> Started:
        """Load the bundle in every predictor; what they all say of themselves.

        Args:
            bundle: The model.
            inference: How the forward pass runs.
            block_bytes: Bytes of a block in flight.

        Raises:
            SettingsError: If the bundle cannot be used or a predictor does not start in time.
        """

    def submit(self, unit: Unit) -> tuple[Ref, ...] | None:
        """Run a unit if it would start soon; as many references as it returns values, or None if it must wait.

        A predictor takes two blocks at a time. A unit without inputs waits for no process in particular: if one must
        wait, so must all others of its stage that have none.
        """

    def wait(self, timeout_s: float) -> list[Ref]:
        """Wait until units have ended or the time is over; the first reference of each that has."""

    def get(self, ref: Ref) -> Any:
        """The first value of a unit that has ended.

        Raises:
            LostError: See there.
            MemoryError: If the unit ran out of memory, its own or its device's.
            Exception: What else the unit raised.
        """

    def close(self) -> None:
        """Let go of the predictors and of what the executor itself has started."""


class InlineExecutor:
    """Runs every unit at once in this process: for tests, debugging and machines without Ray."""

    def __init__(self, settings: RunSettings) -> None:
        if settings.workers not in ("auto", 1):
            raise SettingsError(
                f"run.workers={settings.workers}, but run.address=inline has one. Use run.address=local."
            )
        self.workers = self.max_blocks = 1
        self.device: str = settings.device
        if settings.device == "auto":
            import torch  # noqa: PLC0415  only the process that predicts needs it

            self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.hardware = find_hardware(self.device)
        self.description = "this process"
        self.warnings: list[str] = []
        self._ended: list[Ref] = []

    def start(self, bundle: Bundle, inference: Inference, block_bytes: int) -> Started:  # noqa: ARG002
        """Load the bundle here."""
        from geoseg.model.start import start_predictor  # noqa: PLC0415  only the process that predicts needs torch

        self._predictor = start_predictor(bundle, inference)
        return Started(self._predictor.task.batch_size, self._predictor.task.network_bytes)

    def submit(self, unit: Unit) -> tuple[Ref, ...] | None:
        """Run the unit now. One at a time, so that each is heard of before the next begins."""
        if self._ended:
            return None
        args = [unit.plan, *unit.args, *(ref.value for ref in unit.inputs)]
        if unit.needs_model:
            args.insert(0, self._predictor)
        try:
            with faults.attempt(unit.attempt), _deadline(unit.deadline_s):
                value = unit.stage(*args)
            refs = tuple(map(_Done, value)) if unit.returns > 1 else (_Done(value),)
        except Exception as error:  # noqa: BLE001  raised where the value is asked for, as by every executor
            refs = tuple(_Done(error=error) for _ in range(unit.returns))
        self._ended.append(refs[0])
        return refs

    def wait(self, timeout_s: float) -> list[Ref]:  # noqa: ARG002
        """Everything submitted has run."""
        ended, self._ended = self._ended, []
        return ended

    def get(self, ref: Ref) -> Any:
        """The value; raises what its unit raised."""
        if ref.error is not None:
            raise ref.error
        return ref.value

    def close(self) -> None:
        """Nothing to let go of."""


def value_or_raise(value: Any) -> Any:
    """The value of a unit that has ended; an exception is raised."""
    if isinstance(value, Exception):
        raise value
    return value


class _Done:
    """The inline executor's reference: a result that exists."""

    def __init__(self, value: Any = None, error: Exception | None = None) -> None:
        self.value, self.error = value, error


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """Raise LostError in this thread after a while, if it is the main one: signals reach no other."""

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
        # A timer that somebody else has set goes on.
        left_s = max(1e-3, others_s - (time.monotonic() - started)) if others_s else 0.0
        signal.setitimer(signal.ITIMER_REAL, left_s)
