"""Provenance of polygons in a file's metadata: the parameters with which they were made."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from geoseg.grid.legend import NODATA_CLASS
from geoseg.publish.geodesy.measure import AREA_METHOD_KEY
from geoseg.vector.lines.simplify import MAX_SIMPLIFY_PX
from geoseg.vector.smallest import NOTHING_SMALL, LeastPixels, Smallest

SIMPLIFY_KEY = "geoseg:simplify_px"
"""Key of a file's metadata: largest distance of the lines from the pixel edges; 0 if the stairs of pixels stayed."""
CUT_KEY = "geoseg:cut_px"
"""Key of a file's metadata: period of the cut lattice, whose cells also determine the order of the rows."""
MIN_AREA_KEY = "geoseg:min_area_px"
"""Key of a file's metadata: minimum number of pixels of a polygon; JSON of class ids with numbers if they differ."""
FILL_KEY = "geoseg:fill_holes_px"
"""Key of a file's metadata: minimum number of pixels of a hole, if holes were filled; by the class around it."""
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
    smallest: Smallest = NOTHING_SMALL
    """Smallest components and holes that were kept."""
    classes: tuple[int, ...] | None = None
    """Published classes; None for all."""
    not_dissolved: tuple[int, ...] = ()
    """Classes whose polygons stay cut at the patch lattice."""
    area_method: str = ""
    """``planar`` or ``geodesic``; empty if unknown. `build_table` writes it."""

    def stamp(self, table: pa.Table) -> pa.Table:
        """Add the provenance, except the area method, to a table's metadata. No minimum area is written as 1."""
        short = f"{self.simplify_px:g}"
        facts = {
            # A bound converted from metres has many digits. All are needed to make the same polygons again.
            SIMPLIFY_KEY: short if float(short) == self.simplify_px else repr(float(self.simplify_px)),
            MIN_AREA_KEY: json.dumps(self.smallest.area.plain),
            CUT_KEY: str(self.cut_px),
        }
        if self.smallest.hole.is_set:
            facts[FILL_KEY] = json.dumps(self.smallest.hole.plain)
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
    cut_px = _positive(json.loads(metadata.get(CUT_KEY, "0")), CUT_KEY)
    area, hole = (_least(metadata.get(key, default), key) for key, default in ((MIN_AREA_KEY, "0"), (FILL_KEY, "1")))
    smallest = Smallest(area, hole, not_dissolved or ())
    method = metadata.get(AREA_METHOD_KEY, "")
    return Provenance(simplify_px, cut_px, smallest, classes, not_dissolved or (), method)


def _positive(number: Any, key: str) -> int:
    if type(number) is not int or number < 1:
        raise ValueError(f"{key}={number!r} is not a whole number above 0")
    return number


def _least(text: str, key: str) -> LeastPixels:
    value = json.loads(text)
    if not isinstance(value, dict):
        return LeastPixels.of(_positive(value, key))
    if not all(class_id.isdecimal() and int(class_id) < NODATA_CLASS for class_id in value):
        raise ValueError(f"{key}={text} has keys that are no class ids")
    return LeastPixels.of({int(class_id): _positive(pixels, key) for class_id, pixels in value.items()})


def _class_ids(metadata: Mapping[str, str], key: str) -> tuple[int, ...] | None:
    classes = json.loads(metadata.get(key, "null"))
    if classes is None:
        return None
    if not (isinstance(classes, list) and all(type(entry) is int for entry in classes)):
        raise ValueError(f"{key}={classes!r} is not a list of class ids")
    return tuple(sorted(classes))
