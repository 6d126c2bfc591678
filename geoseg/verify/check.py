"""The result of a check, and its parts."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["files", "independent", "recomputed"]
"""Method of a check: manifest and files; rules that do not use the polygon engine; or the rows computed again from the
rasters, with the engine."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check of a scene found."""

    kind: Kind
    """Method of the check."""
    name: str
    """Name of the check."""
    file: str
    """File or folder, relative to the output."""
    found: str
    """Actual value."""
    expected: str
    """Expected value."""
    ok: bool
    """Whether both agree, or nothing could be compared."""
    compared: bool = True
    """False if nothing could be compared; ``found`` then gives the reason."""


@dataclass(frozen=True, slots=True)
class Check:
    """A finding, the scene that it is about, and what to do."""

    scene: str
    """Name of the scene."""
    finding: Finding
    """What was found."""
    remedy: str
    """How to fix it; empty if the check passed."""


def not_compared(kind: Kind, name: str, file: str, reason: str) -> Finding:
    """A finding without a comparison."""
    return Finding(kind, name, file, f"not compared: {reason}", "", ok=True, compared=False)
