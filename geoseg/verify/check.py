"""What a certificate consists of."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["files", "independent", "recomputed"]
"""How a check came to its verdict: from manifest and files; by rules that know nothing of the engine; or by doing the
work again from the rasters, with the engine that made the polygons."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    scene: str
    """Name of the scene."""
    kind: Kind
    """How it was looked at."""
    name: str
    """What was checked."""
    file: str
    """Where, relative to the output."""
    found: str
    """What is there."""
    expected: str
    """What should be there."""
    ok: bool
    """Whether that is the same, or nothing could be compared."""
    compared: bool = True
    """Whether anything was compared; if not, ``found`` says why."""
    remedy: str = ""
    """What to do about it; empty if it is sound."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A check that does not know yet of which scene it is, or what to do about it."""

    kind: Kind
    name: str
    file: str
    found: str
    expected: str
    ok: bool
    compared: bool = True


def not_compared(kind: Kind, name: str, file: str, reason: str) -> Finding:
    """Say why nothing could be compared."""
    return Finding(kind, name, file, f"not compared: {reason}", "", ok=True, compared=False)
