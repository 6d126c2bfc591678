"""Provenance of polygons in a file's metadata: the parameters with which they were made."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from geoseg.publish.geodesy.measure import AREA_METHOD_KEY
from geoseg.vector.lines.simplify import MAX_SIMPLIFY_PX

SIMPLIFY_KEY = "geoseg:simplify_px"
"""Key of a file's metadata: largest distance of the lines from the pixel edges; 0 if the stairs of pixels stayed."""
CUT_KEY = "geoseg:cut_px"
"""Key of a file's metadata: period of the cut lattice, whose cells also determine the order of the rows."""
MIN_AREA_KEY = "geoseg:min_area_px"
"""Key of a file's metadata: minimum number of pixels of a polygon."""
CLASSES_KEY = "geoseg:classes"
"""Key of a file's metadata: JSON list of the classes that were published, if not all were."""
NOT_DISSOLVED_KEY = "geoseg:not_dissolved"
"""Key of a file's metadata: JSON list of the classes whose polygons stay cut at the patch lattice, if any do."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Parameters with which the polygons of a file were made."""

    simplify_px: float
    """Largest distance of the lines from the pixel edges, see `geoseg.vector.lines.simplify.simplify_arcs`."""
    cut_px: int
    """Period of the cut lattice, whose cells also determine the order of the rows."""
    min_area_px: int
    """0 or 1 if no minimum area was applied."""
    classes: tuple[int, ...] | None = None
    """Published classes; None for all."""
    not_dissolved: tuple[int, ...] = ()
    """Classes whose polygons stay cut at the patch lattice."""
    area_method: str = ""
    """``planar`` or ``geodesic``; empty if unknown. `build_table` writes it."""

    def stamp(self, table: pa.Table) -> pa.Table:
        """Add the provenance, except the area method, to a table's metadata. A minimum area of 0 is written as 1."""
        short = f"{self.simplify_px:g}"
        facts = {
            # A bound converted from metres has many digits. All are needed to make the same polygons again.
            SIMPLIFY_KEY: short if float(short) == self.simplify_px else repr(float(self.simplify_px)),
            MIN_AREA_KEY: str(max(1, self.min_area_px)),
            CUT_KEY: str(self.cut_px),
        }
        if self.classes is not None:
            facts[CLASSES_KEY] = json.dumps(self.classes)
        if self.not_dissolved:
            facts[NOT_DISSOLVED_KEY] = json.dumps(self.not_dissolved)
        added = {key.encode(): value.encode() for key, value in facts.items()}
        return table.replace_schema_metadata({**(table.schema.metadata or {}), **added})


def read_provenance(part: Path) -> Provenance:
    """Read the metadata of a file.

    Raises:
        ValueError: If a value is invalid.
    """
    metadata = {key.decode(): value.decode() for key, value in (pq.read_metadata(part).metadata or {}).items()}
    classes, not_dissolved = _class_ids(metadata, CLASSES_KEY), _class_ids(metadata, NOT_DISSOLVED_KEY)
    simplify_px = float(metadata.get(SIMPLIFY_KEY, "nan"))
    if not 0 <= simplify_px <= MAX_SIMPLIFY_PX:
        raise ValueError(f"{SIMPLIFY_KEY}={simplify_px} is not between 0 and {MAX_SIMPLIFY_PX:g}")
    min_area_px, cut_px = (_positive(metadata, key) for key in (MIN_AREA_KEY, CUT_KEY))
    method = metadata.get(AREA_METHOD_KEY, "")
    return Provenance(simplify_px, cut_px, min_area_px, classes, not_dissolved or (), method)


def _positive(metadata: Mapping[str, str], key: str) -> int:
    number = int(metadata.get(key, "0"))
    if number < 1:
        raise ValueError(f"{key}={number} is not above 0")
    return number


def _class_ids(metadata: Mapping[str, str], key: str) -> tuple[int, ...] | None:
    classes = json.loads(metadata.get(key, "null"))
    if classes is None:
        return None
    if not (isinstance(classes, list) and all(type(entry) is int for entry in classes)):
        raise ValueError(f"{key}={classes!r} is not a list of class ids")
    return tuple(sorted(classes))
