"""The result of a check, and its parts."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["files", "independent", "recomputed"]
"""Method of a check: manifest and files; rules that do not use the polygon engine; or the rows computed again from the
rasters, with the engine."""


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check of one scene."""

    scene: str
    """Name of the scene."""
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
    remedy: str = ""
    """How to fix it; empty if the check passed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A `Check` without scene and remedy, which `geoseg.verify.validate` adds."""

    kind: Kind
    name: str
    file: str
    found: str
    expected: str
    ok: bool
    compared: bool = True


def not_compared(kind: Kind, name: str, file: str, reason: str) -> Finding:
    """A finding without a comparison."""
    return Finding(kind, name, file, f"not compared: {reason}", "", ok=True, compared=False)
