"""What the pipeline needs of an engine."""

from dataclasses import dataclass
from typing import Any, Protocol

from geoseg.model.bundle.bundle import Bundle
from geoseg.model.hardware import Hardware
from geoseg.model.inference import Inference, Started
from geoseg.plan.scene_plan import ScenePlan
from geoseg.stages.stage import Stage
from geoseg.store.scratch_space import Room

Ref = Any
"""A result that may not exist yet. As an input of another unit, it stands for its value."""


class LostError(Exception):
    """What a unit of work needs is gone, its process, node or input, or it took too long. It may be tried again."""


class InputLostError(LostError):
    """A unit's input is gone with its node; the process that was to work on it is well."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One piece of work: ``stage.function(plan, *args, *inputs)``."""

    stage: Stage
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
    rooms: dict[str, Room]
    """Folders for temporary files, by the name of the node."""
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


class Result:
    """A reference within this process; it has a value once its unit has ended."""

    value: Any
    """What the unit returned, or the exception that it raised."""

    def take(self) -> Any:
        """The value, which is kept no longer: an exception and those who hear of it would hold each other."""
        value = self.value
        del self.value
        return value


def results_of(unit: Unit) -> tuple[Result, ...]:
    """A reference for each value that a unit will return."""
    return tuple(Result() for _ in range(unit.stage.outputs))


def settle(refs: tuple[Result, ...], value: Any) -> Ref:
    """Give the references of a unit what it returned, or the first of them the exception that it raised; the first."""
    if isinstance(value, Exception):
        value.__traceback__ = None  # its frames hold the pixels of the block
        refs[0].value = value
    else:
        for ref, part in zip(refs, value if len(refs) > 1 else (value,), strict=True):
            ref.value = part
    return refs[0]


def value_or_raise(value: Any) -> Any:
    """The value of a unit that has ended; an exception is raised."""
    if not isinstance(value, Exception):
        return value
    try:
        raise value
    finally:
        del value  # or it would hold the frame that holds it
