"""The chain of named steps that converts raw pixels to the values that a network was trained on.

The names are those of the STAC Machine Learning Model extension where it defines one. A number applies to all bands, a
list gives one number per band. A step defines its arithmetic once, for arrays of any library: torch applies it to the
pixels of a run, numpy to a sample in processes that do not load torch.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

MAX_NUMBER = 1e12
"""Maximum magnitude of a bundle's numbers, so that float32 can represent sums and products of them."""


def _check_number(value: float) -> float:
    if not abs(value) <= MAX_NUMBER:  # NaN compares as False
        raise ValueError(f"{value:g} is not a finite number between {-MAX_NUMBER:g} and {MAX_NUMBER:g}")
    return value


Number = Annotated[float, AfterValidator(_check_number)]
PerBand = Number | list[Number]


class ArrayLibrary(Protocol):
    """The functions beyond operators that the steps need of an array library."""

    def column(self, numbers: Sequence[float], pixels: Any) -> Any:
        """One number per band, or one for all, as an array that broadcasts over ``pixels``."""

    def clip(self, pixels: Any, minimum: Any, maximum: Any) -> Any:
        """``min(max(pixels, minimum), maximum)``; NaN stays NaN."""

    def log1p(self, pixels: Any) -> Any:
        """``log(1 + pixels)``."""

    def sigmoid(self, pixels: Any) -> Any:
        """``1 / (1 + exp(-pixels))``."""


class _Step(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    def apply(self, pixels: Any, library: ArrayLibrary) -> Any:
        """Return the step's value of every pixel, an array of the same shape and dtype."""
        raise NotImplementedError

    def check(self, bands: int) -> None:
        """Raise ValueError if a list does not give one number for each of the model's bands."""
        for name, value in self:
            if isinstance(value, list) and len(value) != bands:
                raise ValueError(f"scaling step {self!r}: {name} has {len(value)} numbers for {bands} bands.")


class Scale(_Step):
    """``x * value``."""

    type: Literal["scale"]
    value: PerBand

    def apply(self, pixels: Any, library: ArrayLibrary) -> Any:  # noqa: D102
        return pixels * _column(self.value, pixels, library)


class Offset(_Step):
    """``x + value``."""

    type: Literal["offset"]
    value: PerBand

    def apply(self, pixels: Any, library: ArrayLibrary) -> Any:  # noqa: D102
        return pixels + _column(self.value, pixels, library)


class Clip(_Step):
    """``min(max(x, minimum), maximum)``."""

    type: Literal["clip"]
    minimum: PerBand
    maximum: PerBand

    def apply(self, pixels: Any, library: ArrayLibrary) -> Any:  # noqa: D102
        return library.clip(pixels, _column(self.minimum, pixels, library), _column(self.maximum, pixels, library))


class MinMax(_Step):
    """``(x - minimum) / (maximum - minimum)``."""

    type: Literal["min-max"]
    minimum: PerBand
    maximum: PerBand

    @model_validator(mode="after")
    def _spans(self) -> "MinMax":
        if any(a == b for a, b in zip(_list(self.minimum), _list(self.maximum), strict=False)):
            raise ValueError(f"min-max needs minimum < maximum, got {self.minimum} and {self.maximum}.")
        return self

    def apply(self, pixels: Any, library: ArrayLibrary) -> Any:  # noqa: D102
        minimum = _column(self.minimum, pixels, library)
        return (pixels - minimum) / (_column(self.maximum, pixels, library) - minimum)


class ZScore(_Step):
    """``(x - mean) / stddev``."""

    type: Literal["z-score"]
    mean: PerBand
    stddev: PerBand

    @model_validator(mode="after")
    def _spreads(self) -> "ZScore":
        if not all(value > 0 for value in _list(self.stddev)):
            raise ValueError(f"z-score needs stddev > 0, got {self.stddev}.")
        return self

    def apply(self, pixels: Any, library: ArrayLibrary) -> Any:  # noqa: D102
        return (pixels - _column(self.mean, pixels, library)) / _column(self.stddev, pixels, library)


class Affine(_Step):
    """``x * scale + offset``."""

    type: Literal["affine"]
    scale: PerBand
    offset: PerBand

    def apply(self, pixels: Any, library: ArrayLibrary) -> Any:  # noqa: D102
        return pixels * _column(self.scale, pixels, library) + _column(self.offset, pixels, library)


class Log1p(_Step):
    """``log(1 + x)``."""

    type: Literal["log1p"]

    def apply(self, pixels: Any, library: ArrayLibrary) -> Any:  # noqa: D102
        return library.log1p(pixels)


class Sigmoid(_Step):
    """``1 / (1 + exp(-x))``."""

    type: Literal["sigmoid"]

    def apply(self, pixels: Any, library: ArrayLibrary) -> Any:  # noqa: D102
        return library.sigmoid(pixels)


Step = Annotated[Scale | Offset | Clip | MinMax | ZScore | Affine | Log1p | Sigmoid, Field(discriminator="type")]


def apply_steps(pixels: Any, steps: Sequence[Step], library: ArrayLibrary) -> Any:
    """Apply the steps in their order.

    Args:
        pixels: Array of floats; the library's ``column`` determines the axis of the bands.
        steps: The chain; a list in a step gives one number per band.
        library: The array library of ``pixels``.

    Returns:
        Array of the same shape and dtype. Not finite where a step has no value, such as the logarithm of less than -1.
    """
    for step in steps:
        pixels = step.apply(pixels, library)
    return pixels


def _list(value: PerBand) -> list[float]:
    return value if isinstance(value, list) else [value]


def _column(value: PerBand, pixels: Any, library: ArrayLibrary) -> Any:
    return library.column(_list(value), pixels)
