"""The chain of named steps that turns raw pixels into what a network was trained on.

The names are those of the STAC Machine Learning Model extension where it has one. A number holds for all bands, a list
gives one number a band.
"""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:  # the chain is part of a bundle, which is read where no torch is loaded
    import torch
    from torch import Tensor

LARGEST_NUMBER = 1e12
"""Magnitude up to which a bundle's numbers are believed; float32 holds sums and products of them."""


def _believable(value: float) -> float:
    if not abs(value) <= LARGEST_NUMBER:  # NaN compares as False
        raise ValueError(f"{value:g} is not a finite number between {-LARGEST_NUMBER:g} and {LARGEST_NUMBER:g}")
    return value


Number = Annotated[float, AfterValidator(_believable)]
PerBand = Number | list[Number]


class _Step(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    def apply(self, pixels: "Tensor") -> "Tensor":
        """Return the step's value of every pixel, shape (..., C, H, W)."""
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

    def apply(self, pixels: "Tensor") -> "Tensor":  # noqa: D102
        return pixels * _column(self.value, pixels)


class Offset(_Step):
    """``x + value``."""

    type: Literal["offset"]
    value: PerBand

    def apply(self, pixels: "Tensor") -> "Tensor":  # noqa: D102
        return pixels + _column(self.value, pixels)


class Clip(_Step):
    """``min(max(x, minimum), maximum)``."""

    type: Literal["clip"]
    minimum: PerBand
    maximum: PerBand

    def apply(self, pixels: "Tensor") -> "Tensor":  # noqa: D102
        return pixels.maximum(_column(self.minimum, pixels)).minimum(_column(self.maximum, pixels))


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

    def apply(self, pixels: "Tensor") -> "Tensor":  # noqa: D102
        minimum = _column(self.minimum, pixels)
        return (pixels - minimum) / (_column(self.maximum, pixels) - minimum)


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

    def apply(self, pixels: "Tensor") -> "Tensor":  # noqa: D102
        return (pixels - _column(self.mean, pixels)) / _column(self.stddev, pixels)


class Affine(_Step):
    """``x * scale + offset``."""

    type: Literal["affine"]
    scale: PerBand
    offset: PerBand

    def apply(self, pixels: "Tensor") -> "Tensor":  # noqa: D102
        return pixels * _column(self.scale, pixels) + _column(self.offset, pixels)


class Log1p(_Step):
    """``log(1 + x)``."""

    type: Literal["log1p"]

    def apply(self, pixels: "Tensor") -> "Tensor":  # noqa: D102
        return pixels.log1p()


class Sigmoid(_Step):
    """``1 / (1 + exp(-x))``."""

    type: Literal["sigmoid"]

    def apply(self, pixels: "Tensor") -> "Tensor":  # noqa: D102
        return pixels.sigmoid()


Step = Annotated[Scale | Offset | Clip | MinMax | ZScore | Affine | Log1p | Sigmoid, Field(discriminator="type")]


def scale_pixels(pixels: "Tensor", steps: Sequence[Step]) -> "Tensor":
    """Apply the steps in their order.

    Args:
        pixels: float32, shape (..., C, H, W).
        steps: The chain; lists give one number for each of the C bands.

    Returns:
        float32, of the same shape. Not finite where a step has no value, such as the logarithm of less than -1.
    """
    for step in steps:
        pixels = step.apply(pixels)
    return pixels


def _list(value: PerBand) -> list[float]:
    return value if isinstance(value, list) else [value]


def _column(value: PerBand, pixels: "Tensor") -> "Tensor":
    """The numbers as a tensor that broadcasts over (C, H, W)."""
    return _constant(tuple(_list(value)), pixels.dtype, pixels.device)


@cache
def _constant(values: tuple[float, ...], dtype: "torch.dtype", device: "torch.device") -> "Tensor":
    """Kept, since a GPU waits for all its work before it takes a number from the host."""
    import torch  # noqa: PLC0415  whoever has pixels has loaded it

    with torch.inference_mode(mode=False):
        return torch.tensor(values, dtype=dtype, device=device)[:, None, None]
