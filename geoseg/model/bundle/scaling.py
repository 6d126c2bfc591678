"""The chain of named steps that converts raw pixels to the values that a network was trained on.

min-max, z-score and clip are those of the STAC Machine Learning Model extension (MLM); divide and subtract are its
scale and offset. A number applies to all bands, a list gives one number per band. A step defines its arithmetic once,
for arrays of any library: torch applies it to the pixels of a run, numpy to a sample in processes that do not load
torch.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

MAX_NUMBER = 1e12
"""Maximum magnitude of a bundle's numbers, so that float32 can represent sums and products of them."""


def _check_number(value: float) -> float:
    if not abs(value) <= MAX_NUMBER:  # NaN compares as False
        raise ValueError(f"{value:g} is not a finite number between {-MAX_NUMBER:g} and {MAX_NUMBER:g}")
    return value


Number = Annotated[float, AfterValidator(_check_number)]
PerBand = Number | list[Number]


class _Step(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    formula: ClassVar[Callable[..., Any]]
    """The step's value of every pixel, from the pixels, the library, and each parameter as an array."""

    def apply(self, pixels: Any, library: Any, column: Callable[[list[float]], Any]) -> Any:
        """Return the step's value of every pixel; see `apply_steps`."""
        numbers = {name: column(_list(value)) for name, value in self if name != "type"}
        return type(self).formula(pixels, library, **numbers)

    def check(self, bands: int) -> None:
        """Raise ValueError if a list does not give one number for each of the model's bands."""
        for name, value in self:
            if isinstance(value, list) and len(value) != bands:
                raise ValueError(f"scaling step {self!r}: {name} has {len(value)} numbers for {bands} bands.")


class Divide(_Step):
    """``x / value``: MLM's scale."""

    type: Literal["divide"]
    value: PerBand
    formula = staticmethod(lambda x, _, value: x / value)

    @model_validator(mode="after")
    def _divides(self) -> "Divide":
        if not all(_list(self.value)):
            raise ValueError(f"divide needs a value other than 0, got {self.value}.")
        return self


class Subtract(_Step):
    """``x - value``: MLM's offset."""

    type: Literal["subtract"]
    value: PerBand
    formula = staticmethod(lambda x, _, value: x - value)


class Clip(_Step):
    """``min(max(x, minimum), maximum)``."""

    type: Literal["clip"]
    minimum: PerBand
    maximum: PerBand
    formula = staticmethod(lambda x, library, minimum, maximum: library.minimum(library.maximum(x, minimum), maximum))


class MinMax(_Step):
    """``(x - minimum) / (maximum - minimum)``."""

    type: Literal["min-max"]
    minimum: PerBand
    maximum: PerBand
    formula = staticmethod(lambda x, _, minimum, maximum: (x - minimum) / (maximum - minimum))

    @model_validator(mode="after")
    def _spans(self) -> "MinMax":
        if any(a == b for a, b in zip(_list(self.minimum), _list(self.maximum), strict=False)):
            raise ValueError(f"min-max needs a minimum other than its maximum, got {self.minimum} and {self.maximum}.")
        return self


class ZScore(_Step):
    """``(x - mean) / stddev``."""

    type: Literal["z-score"]
    mean: PerBand
    stddev: PerBand
    formula = staticmethod(lambda x, _, mean, stddev: (x - mean) / stddev)

    @model_validator(mode="after")
    def _spreads(self) -> "ZScore":
        if not all(value > 0 for value in _list(self.stddev)):
            raise ValueError(f"z-score needs stddev > 0, got {self.stddev}.")
        return self


class Affine(_Step):
    """``x * scale + offset``."""

    type: Literal["affine"]
    scale: PerBand = 1.0
    offset: PerBand = 0.0
    formula = staticmethod(lambda x, _, scale, offset: x * scale + offset)


class Log1p(_Step):
    """``log(1 + x)``."""

    type: Literal["log1p"]
    formula = staticmethod(lambda x, library: library.log1p(x))


class Sigmoid(_Step):
    """``1 / (1 + exp(-x))``."""

    type: Literal["sigmoid"]
    formula = staticmethod(lambda x, library: library.sigmoid(x))


Step = Annotated[Divide | Subtract | Clip | MinMax | ZScore | Affine | Log1p | Sigmoid, Field(discriminator="type")]


def apply_steps(pixels: Any, steps: Sequence[Step], library: Any, column: Callable[[list[float]], Any]) -> Any:
    """Apply the steps in their order.

    Args:
        pixels: Array of floats.
        steps: The chain; a list in a step gives one number per band.
        library: Functions ``minimum``, ``maximum``, ``log1p`` and ``sigmoid`` of such arrays, for example `torch`.
        column: Returns one number per band, or one for all, as an array that broadcasts over ``pixels``.

    Returns:
        Array of the same shape and dtype. Not finite where a step has no value, such as the logarithm of less than -1.
    """
    for step in steps:
        pixels = step.apply(pixels, library, column)
    return pixels


def _list(value: PerBand) -> list[float]:
    return value if isinstance(value, list) else [value]
