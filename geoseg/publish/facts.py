"""How polygons were made: what a file's metadata tell, written and read in one place."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from geoseg.publish.measure import AREA_METHOD_KEY

SIMPLIFY_KEY = "geoseg:simplify_px"
"""Key of a file's metadata: see `geoseg.vector.simplify.simplify_arcs`."""
CUT_KEY = "geoseg:cut_px"
"""Key of a file's metadata: period of the cut lattice, and of the cells that order the rows."""
MIN_AREA_KEY = "geoseg:min_area_px"
"""Key of a file's metadata: fewer pixels than this made no polygon of their own."""
CLASSES_KEY = "geoseg:classes"
"""Key of a file's metadata: JSON list of the classes that were published, if not all were."""
NOT_DISSOLVED_KEY = "geoseg:not_dissolved"
"""Key of a file's metadata: JSON list of the classes whose polygons stay cut at the patch lattice, if any do."""


def stamp(
    table: pa.Table,
    *,
    simplify_px: float,
    min_area_px: int,
    cut_px: int,
    classes: tuple[int, ...] | None = None,
    not_dissolved: tuple[int, ...] = (),
) -> pa.Table:
    """Write into a table's metadata how its polygons were made; a minimum area of 0 or 1 is none, and stands as 1."""
    facts = {SIMPLIFY_KEY: f"{simplify_px:g}", MIN_AREA_KEY: str(max(1, min_area_px)), CUT_KEY: str(cut_px)}
    if classes is not None:
        facts[CLASSES_KEY] = json.dumps(classes)
    if not_dissolved:
        facts[NOT_DISSOLVED_KEY] = json.dumps(not_dissolved)
    added = {key.encode(): value.encode() for key, value in facts.items()}
    return table.replace_schema_metadata({**(table.schema.metadata or {}), **added})


@dataclass(frozen=True, slots=True)
class Facts:
    """How the polygons of a file were made, as its metadata tell."""

    area_method: str
    """``planar`` or ``geodesic``; empty if the file does not say."""
    min_area_px: int
    """1 if no minimum area was applied."""
    classes: tuple[int, ...] | None
    """Published classes; None for all."""
    not_dissolved: tuple[int, ...]
    """Classes whose polygons stay cut at the patch lattice."""


def read_facts(part: Path) -> Facts:
    """Read the metadata of a file.

    Raises:
        ValueError: If they hold something else than was agreed.
    """
    metadata = {key.decode(): value.decode() for key, value in (pq.read_metadata(part).metadata or {}).items()}
    classes, not_dissolved = _class_ids(metadata, CLASSES_KEY), _class_ids(metadata, NOT_DISSOLVED_KEY)
    min_area_px = int(metadata.get(MIN_AREA_KEY, "1"))
    if min_area_px < 1:
        raise ValueError(f"{MIN_AREA_KEY}={min_area_px} is not above 0")
    return Facts(metadata.get(AREA_METHOD_KEY, ""), min_area_px, classes, not_dissolved or ())


def _class_ids(metadata: Mapping[str, str], key: str) -> tuple[int, ...] | None:
    classes = json.loads(metadata.get(key, "null"))
    if classes is None:
        return None
    if not (isinstance(classes, list) and all(type(entry) is int for entry in classes)):
        raise ValueError(f"{key}={classes!r} is not a list of class ids")
    return tuple(sorted(classes))
