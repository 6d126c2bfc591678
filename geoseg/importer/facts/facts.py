"""What is known of a model, and where each fact comes from."""

from dataclasses import dataclass, fields
from typing import Any, Generic, TypeVar

from geoseg.grid.legend import Legend

T = TypeVar("T")


@dataclass(frozen=True)
class Fact(Generic[T]):
    """A value and its origin, such as ``config.json``, ``--bands`` or ``preset naip``."""

    value: T
    origin: str


@dataclass(frozen=True)
class Facts:
    """Facts of a model; None where nothing is known."""

    name: Fact[str] | None = None
    architecture: Fact[str] | None = None
    """Description of the network, such as ``Unet resnet34``."""
    band_count: Fact[int] | None = None
    bands: Fact[tuple[str, ...]] | None = None
    class_count: Fact[int] | None = None
    """Channels of the output; one channel is the second of two classes."""
    legend: Fact[Legend] | None = None
    scaling: Fact[list[dict[str, Any]]] | None = None
    """Steps of ``geoseg:scaling``."""
    activation: Fact[str] | None = None
    """``softmax``, ``sigmoid`` or ``none``."""
    patch_px: Fact[int] | None = None
    overlap_px: Fact[int] | None = None
    size_multiple: Fact[int] | None = None
    pixel_m: Fact[float] | None = None
    """Side of a pixel that the network was trained on, in metres."""
    license: Fact[str] | None = None
    citation: Fact[str] | None = None

    def with_(self, **facts: Fact[Any] | None) -> "Facts":
        """These facts, with others in place of those that are not None."""
        return self.overruled_by(Facts(**facts))

    def overruled_by(self, others: "Facts") -> "Facts":
        """The other facts where they are known, else these."""
        return Facts(
            **{
                field.name: getattr(self, field.name)
                if getattr(others, field.name) is None
                else getattr(others, field.name)
                for field in fields(self)
            }
        )
