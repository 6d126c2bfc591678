"""Compare published rows with those that were recomputed, value by value."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray

from geoseg.publish.polygon_table import POLYGON_SCHEMA

SIZE_TOLERANCE = 1e-9
"""Of areas and lengths, relative: the last bits of a sine depend on the machine."""
PLACE_TOLERANCE = 1e-12
"""Of coordinates in another CRS than the scene's, relative to the largest, for that reason: 5 micrometres in UTM."""

COLUMNS = tuple(name for name in POLYGON_SCHEMA.names if name not in {"polygon_id", "bbox"})
"""Columns that are compared in the rows of one ``polygon_id``. A box is checked against the published geometry."""


@dataclass(slots=True)
class Difference:
    """A column in which rows differ."""

    rows: int = 0
    """How many."""
    file: Path = Path()
    """Where the first of them is."""
    polygon_id: int = 0
    """Which one that is."""
    found: str = ""
    """What it holds."""
    expected: str = ""
    """What it should hold."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """In what published rows differ from recomputed ones."""

    ids: NDArray[np.int64]
    """``polygon_id`` of the recomputed rows in their order, shape (N,)."""
    columns: dict[str, Difference] = field(default_factory=dict)
    """By the name of the column; sound columns are not in it."""


def compare_rows(parts: Sequence[Path], expected: Iterable[pa.Table], *, exact: bool) -> Comparison:
    """Compare the rows of a scene, a row group at a time.

    Args:
        parts: The GeoParquet files.
        expected: The recomputed rows in the order of publication.
        exact: The geometries' bytes must be equal; else their coordinates up to `PLACE_TOLERANCE`.
    """
    ids = [np.empty(0, np.int64)]
    differences: dict[str, Difference] = {}
    portions = _Portions(expected)
    for part in parts:
        with pq.ParquetFile(part) as file:
            for group in range(file.num_row_groups):
                found = file.read_row_group(group, columns=["polygon_id", *COLUMNS])
                wanted = portions.take(len(found))
                ids.append(wanted["polygon_id"].to_numpy())
                _, here, there = np.intersect1d(
                    found["polygon_id"].to_numpy(), ids[-1], assume_unique=False, return_indices=True
                )
                found, wanted = found.take(np.sort(here)), wanted.take(there[np.argsort(here)])
                for name in COLUMNS:
                    _note(differences.setdefault(name, Difference()), part, found, wanted, name, exact=exact)
    ids += [table["polygon_id"].to_numpy() for table in portions.rest()]
    return Comparison(np.concatenate(ids), {name: what for name, what in differences.items() if what.rows})


class _Portions:
    """Tables, cut anew."""

    def __init__(self, tables: Iterable[pa.Table]) -> None:
        self._tables = iter(tables)
        self._left: pa.Table | None = next(self._tables, None)

    def take(self, rows: int) -> pa.Table:
        """The next rows; fewer if there are no more."""
        pieces = []
        while self._left is not None and rows > 0:
            pieces.append(self._left.slice(0, rows))
            rows -= len(pieces[-1])
            left = self._left.slice(len(pieces[-1]))
            self._left = left if len(left) else next(self._tables, None)
        return pa.concat_tables(pieces) if pieces else POLYGON_SCHEMA.empty_table()

    def rest(self) -> Iterator[pa.Table]:
        """All rows that were not taken."""
        if self._left is not None:
            yield self._left
        yield from self._tables


def _note(difference: Difference, part: Path, found: pa.Table, expected: pa.Table, name: str, *, exact: bool) -> None:
    """Add the rows that differ in a column."""
    one, other = found[name].combine_chunks(), expected[name].combine_chunks()
    differs = _differs(one, other)
    rows = np.flatnonzero(differs)
    if name in {"area_m2", "perimeter_m"}:
        values, wanted = one.to_numpy()[rows], other.to_numpy()[rows]
        # Written so that NaN, which is close to nothing, counts.
        rows = rows[~(np.abs(values - wanted) <= SIZE_TOLERANCE * np.abs(wanted))]
    if name == "geometry" and not exact:
        rows = np.array([row for row in rows if not _is_close(one[row].as_py(), other[row].as_py())], np.int64)
    if not len(rows):
        return
    if not difference.rows:
        first = int(rows[0])
        difference.file, difference.polygon_id = part, found["polygon_id"][first].as_py()
        values = one[first].as_py(), other[first].as_py()
        difference.found, difference.expected = _show_places(*values) if name == "geometry" else map(_show, values)
    difference.rows += len(rows)


def _differs(one: pa.Array, other: pa.Array) -> NDArray[np.bool_]:
    """Tell in which rows two columns hold different values; two without a value are alike."""
    alike = pc.or_(pc.fill_null(pc.equal(one, other), False), pc.and_(pc.is_null(one), pc.is_null(other)))
    return ~np.asarray(alike.to_numpy(zero_copy_only=False), bool)


def _parse(wkb: bytes) -> Any:
    return shapely.from_wkb(wkb, on_invalid="ignore")


def _is_close(one: bytes, other: bytes) -> bool:
    """Tell whether two geometries have the same rings with vertices in about the same places."""
    found, wanted = _parse(one), _parse(other)
    if not isinstance(found, shapely.Polygon) or len(one) != len(other):
        return False
    lengths = [[len(ring.coords) for ring in (polygon.exterior, *polygon.interiors)] for polygon in (found, wanted)]
    if lengths[0] != lengths[1]:
        return False
    places, targets = shapely.get_coordinates(found), shapely.get_coordinates(wanted)
    return bool((np.abs(places - targets) <= PLACE_TOLERANCE * np.abs(targets).max()).all())


def _show(value: Any) -> str:
    return repr(value) if isinstance(value, str) else str(value)


def _show_places(one: bytes, other: bytes) -> tuple[str, str]:
    """What two geometries differ in: the first vertex that does, or their number."""
    found, wanted = (shapely.get_coordinates(_parse(wkb)) for wkb in (one, other))
    if found.shape != wanted.shape or (found == wanted).all():
        shown = [f"{shapely.get_num_interior_rings(_parse(wkb))} holes, {len(wkb)} bytes" for wkb in (one, other)]
        return f"{len(found)} vertices, {shown[0]}", f"{len(wanted)} vertices, {shown[1]}"
    row = int(np.flatnonzero((found != wanted).any(axis=1))[0])
    return tuple(f"vertex {row} at {x!s} {y!s}" for x, y in (found[row], wanted[row]))  # type: ignore[return-value]
