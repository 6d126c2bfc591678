"""The three parts of a fingerprint: what decides scores, what decides polygons, and what decides publication.

Scores decide every pixel of the rasters. Polygons are made of these pixels, and both are published. So another setting
of a later part leaves the results of the earlier ones as they are: see `geoseg.reuse.reused`.
"""

from enum import IntEnum
from typing import Any

from geoseg.store.manifest import Fingerprint, deciding


class Level(IntEnum):
    """A part of a fingerprint; a key of one changes the results of that part and of those after it."""

    SCORES = 0
    """Pixels of class map, confidence and layers."""
    POLYGONS = 1
    """Lines, areas and columns of the polygons."""
    PUBLICATION = 2
    """Which results are published, and how."""


LINES = 5
"""Incremented when a change of geoseg changes a byte of the polygons that it makes of the same pixels."""
POLYGON_ALGORITHM = "polygons.algorithm"
"""Key of `LINES` in a fingerprint."""
_POLYGONS = frozenset({"scene.observed_at"})
_PUBLICATION = frozenset({"rasters.publish"})


def level_of(key: str) -> Level:
    """The part to which a key of a fingerprint belongs."""
    if key in _PUBLICATION:
        return Level.PUBLICATION
    return Level.POLYGONS if key.startswith("polygons.") or key in _POLYGONS else Level.SCORES


def deciding_scores(facts: Fingerprint) -> dict[str, Any]:
    """The keys of a fingerprint that decide the pixels of rasters."""
    return {key: value for key, value in deciding(facts).items() if level_of(key) is Level.SCORES}
