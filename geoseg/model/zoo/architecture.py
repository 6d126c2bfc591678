"""What the zoo knows about an architecture, and limits of its arguments."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import nn

MAX_BANDS, MAX_CLASSES = 8192, 255


class Limit(NamedTuple):
    """The values that an argument may have, so that a bundle cannot request unlimited memory."""

    text: str
    """Words for the message, such as ``a whole number from 1 to 8``."""
    accepts: Callable[[Any], bool]


@dataclass(frozen=True)
class Architecture:
    """One entry of the zoo."""

    name: str
    """The name in ``mlm:architecture``."""
    paper: str
    """Authors, year and arXiv id or journal."""
    builder: Callable[..., nn.Module]
    """Builds the network with fresh weights; it has an attribute ``size_multiple``.

    Input (N, in_channels, H, W) float32, H and W multiples of it; output (N, classes, H, W) logits.
    """
    limits: Mapping[str, Limit]
    """The allowed arguments."""
    size_multiple: int
    """Multiple of the sides with the default arguments; that of a network is its ``size_multiple``."""
    needs_extra: bool = False
    """True if it needs the packages of ``geoseg[zoo]``."""
    fuses_relu: bool = False
    """True if all operations other than convolutions give at most their largest input or the sum of several, so that
    the proof of `geoseg.model.fusion.fused_relu` holds."""


def whole_number(most: int, least: int = 1) -> Limit:
    """Whole numbers of a range; True and False are none."""
    return Limit(f"a whole number from {least} to {most}", lambda value: type(value) is int and least <= value <= most)


COMMON: Mapping[str, Limit] = {"in_channels": whole_number(MAX_BANDS), "classes": whole_number(MAX_CLASSES)}
"""Arguments of every architecture."""
