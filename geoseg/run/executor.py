"""What the pipeline needs of an engine, and the engine that is this process."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from geoseg.config import RunSettings
from geoseg.errors import SettingsError
from geoseg.model.bundle import Bundle
from geoseg.model.inference import Inference
from geoseg.run.stages import Predicted, predict_block

Ref = Any
"""A result that may not exist yet. Passed as an argument to another unit, it stands for its value."""


class Executor(Protocol):
    """Runs units of work, somewhere, and hands out references to the values they return."""

    workers: int
    """Number of predictors."""
    device: str
    """``cpu`` or ``cuda``: where they predict."""
    description: str
    """Where the work runs, in words."""
    max_blocks: int
    """Units of work that may be under way at a time."""

    def start(self, bundle: Bundle, inference: Inference, block_bytes: int) -> int:
        """Load the bundle in every predictor; the batch size they agreed on.

        Args:
            bundle: The model.
            inference: How the forward pass runs.
            block_bytes: Bytes of a block in flight.

        Raises:
            SettingsError: If the bundle cannot be used or a predictor does not start in time.
        """

    def submit(self, function: Callable[..., Any], *args: Any, returns: int = 1) -> tuple[Ref, ...]:
        """Run a plain function on a CPU; one reference for each of the ``returns`` values in its tuple."""

    def can_predict(self) -> bool:
        """Tell whether a predictor has less than two blocks in flight."""

    def predict(self, *args: Any) -> tuple[Ref, ...]:
        """Run `predict_block` with the least busy predictor; one reference for each field of `Predicted`."""

    def wait(self, refs: Sequence[Ref], timeout_s: float) -> list[Ref]:
        """Wait until a result exists or the time is over; those that exist."""

    def get(self, ref: Ref) -> Any:
        """The value; raises what its unit raised."""

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
        self.description = "this process"

    def start(self, bundle: Bundle, inference: Inference, block_bytes: int) -> int:  # noqa: ARG002
        """Load the bundle here."""
        from geoseg.model.predictor import Predictor  # noqa: PLC0415  only the process that predicts needs torch

        self._predictor = Predictor(bundle, inference)
        return self._predictor.batch_size

    def submit(self, function: Callable[..., Any], *args: Any, returns: int = 1) -> tuple[Ref, ...]:
        """Run the function now."""
        try:
            value = function(*(arg.value if isinstance(arg, _Done) else arg for arg in args))
        except Exception as error:  # noqa: BLE001  raised where the value is asked for, as by every executor
            return tuple(_Done(error=error) for _ in range(returns))
        return (_Done(value),) if returns == 1 else tuple(map(_Done, value))

    def can_predict(self) -> bool:
        """Always."""
        return True

    def predict(self, *args: Any) -> tuple[Ref, ...]:
        """Run the predictor now."""
        return self.submit(predict_block, self._predictor, *args, returns=len(Predicted._fields))

    def wait(self, refs: Sequence[Ref], timeout_s: float) -> list[Ref]:  # noqa: ARG002
        """Everything submitted has run."""
        return list(refs)

    def get(self, ref: Ref) -> Any:
        """The value; raises what its unit raised."""
        if ref.error is not None:
            raise ref.error
        return ref.value

    def close(self) -> None:
        """Nothing to let go of."""


class _Done:
    """The inline executor's reference: a result that exists."""

    def __init__(self, value: Any = None, error: Exception | None = None) -> None:
        self.value, self.error = value, error
