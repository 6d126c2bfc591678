"""The protocol of executors, which run units of work, and the values that they exchange with the scheduler."""

from dataclasses import dataclass
from typing import Any, Protocol

from geoseg.model.bundle.bundle import Bundle
from geoseg.model.hardware import Hardware
from geoseg.model.inference import Inference, Started
from geoseg.plan.scene_plan import ScenePlan
from geoseg.stages.stage import Stage
from geoseg.store.scratch_space import Room

Ref = Any
"""Reference to a value that may not exist yet. As an input of another unit it stands for its value."""


class LostError(Exception):
    """A unit was lost: its process, node or input is gone, or it exceeded its deadline. It may be repeated."""


class InputLostError(LostError):
    """The input of a unit was lost with its node; the process that runs the unit is not affected."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One piece of work: ``stage.function(plan, *args, *inputs)``."""

    stage: Stage
    plan: ScenePlan
    """That of the scene; executors send it to each process once."""
    args: tuple[Any, ...]
    """The block, if the stage works on a block, and other small values."""
    inputs: tuple[Ref, ...]
    """References to large values of earlier units of the block."""
    deadline_s: float
    """Seconds after which the unit counts as lost."""
    attempt: int = 1
    """Counts from 1."""


class Executor(Protocol):
    """Runs units of work and returns references to their values."""

    workers: int
    """Number of predictors."""
    device: str
    """``cpu`` or ``cuda``, for all predictors."""
    hardware: Hardware
    """What all predictors have in common."""
    description: str
    """Where the work runs, for messages."""
    warnings: list[str]
    """Sentences for the report, such as on excluded nodes."""
    rooms: dict[str, Room]
    """Folder for temporary files of each node, by its name."""
    max_blocks: int
    """Most blocks in work at a time, from the start of reading until they are finished."""

    def start(self, network: tuple[Bundle, Inference] | None, block_bytes: int) -> Started:
        """Load the bundle in every predictor; what they have in common.

        Args:
            network: The model, and how the forward pass runs; None if no unit needs it: then there are no predictors.
            block_bytes: Bytes of a block in work.

        Raises:
            SettingsError: If the bundle cannot be used or a predictor does not start in time.
        """

    def submit(self, unit: Unit) -> tuple[Ref, ...] | None:
        """Start a unit if there is room; a reference for each of its outputs, or None if it must wait.

        A predictor takes two blocks at a time. A unit without inputs may run in any process: if one must wait, so must
        all others of its stage without inputs.
        """

    def wait(self, timeout_s: float) -> list[Ref]:
        """Wait until units have ended or the timeout is over; the first reference of each ended unit."""

    def get(self, ref: Ref) -> Any:
        """The first value of a unit that has ended.

        Raises:
            LostError: If the unit was lost.
            MemoryError: If the unit ran out of memory, its own or its device's.
            Exception: Any other exception of the unit.
        """

    def close(self) -> None:
        """End the predictors and all that the executor has started."""


class Result:
    """A reference within this process; it has a value when its unit has ended."""

    value: Any
    """The return value of the unit, or its exception."""

    def take(self) -> Any:
        """Return the value and delete it here: a reference to an exception would form a cycle with its frames."""
        value = self.value
        del self.value
        return value


def results_of(unit: Unit) -> tuple[Result, ...]:
    """New references, one for each output of a unit."""
    return tuple(Result() for _ in range(unit.stage.outputs))


def settle(refs: tuple[Result, ...], value: Any) -> Ref:
    """Set the references of a unit to its return values, or the first to its exception; returns the first."""
    if isinstance(value, Exception):
        value.__traceback__ = None  # its frames reference the pixels of the block
        refs[0].value = value
    else:
        for ref, part in zip(refs, value if len(refs) > 1 else (value,), strict=True):
            ref.value = part
    return refs[0]


def value_or_raise(value: Any) -> Any:
    """Return a value, or raise it if it is an exception."""
    if not isinstance(value, Exception):
        return value
    try:
        raise value
    finally:
        del value  # avoids a reference cycle with this frame
