"""Compare published rows with recomputed rows, value by value."""

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

SIZE_TOLERANCE = 1e-9
"""Relative tolerance of areas and lengths: the last bits of a sine depend on the machine."""
COORDINATE_TOLERANCE = 1e-12
"""Tolerance of coordinates in another CRS than the scene's, relative to the largest one; 5 micrometres in UTM. The
reason is the same."""


def compared_columns(schema: pa.Schema) -> list[str]:
    """Columns to compare. Boxes are checked against the published geometry instead."""
    return [name for name in schema.names if name not in {"polygon_id", "bbox"}]


@dataclass(slots=True)
class Difference:
    """A column in which rows differ."""

    rows: int = 0
    """Number of such rows."""
    file: Path = Path()
    """File of the first one."""
    polygon_id: int = 0
    """``polygon_id`` of the first one."""
    found: str = ""
    """Its value."""
    expected: str = ""
    """The recomputed value."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Differences between published and recomputed rows."""

    ids: NDArray[np.int64]
    """``polygon_id`` of the recomputed rows in their order, shape (N,)."""
    columns: dict[str, Difference] = field(default_factory=dict)
    """Differences by column; columns without a difference are left out."""


def compare_rows(parts: Sequence[Path], expected: Iterable[pa.Table], schema: pa.Schema, *, exact: bool) -> Comparison:
    """Compare the rows of a scene, a row group at a time.

    Args:
        parts: The GeoParquet files.
        expected: The recomputed rows in the order of publication.
        schema: Columns of both.
        exact: The geometries' bytes must be equal; else their coordinates up to `COORDINATE_TOLERANCE`.
    """
    ids = [np.empty(0, np.int64)]
    differences: dict[str, Difference] = {}
    stream, columns = _RowStream(expected, schema), compared_columns(schema)
    for part in parts:
        with pq.ParquetFile(part) as file:
            for group in range(file.num_row_groups):
                found = file.read_row_group(group, columns=["polygon_id", *columns])
                wanted = stream.take(len(found))
                ids.append(wanted["polygon_id"].to_numpy())
                _, here, there = np.intersect1d(
                    found["polygon_id"].to_numpy(), ids[-1], assume_unique=False, return_indices=True
                )
                found, wanted = found.take(np.sort(here)), wanted.take(there[np.argsort(here)])
                for name in columns:
                    _note(differences.setdefault(name, Difference()), part, found, wanted, name, exact=exact)
    ids += [table["polygon_id"].to_numpy() for table in stream.rest()]
    return Comparison(np.concatenate(ids), {name: what for name, what in differences.items() if what.rows})


class _RowStream:
    """Rows of consecutive tables."""

    def __init__(self, tables: Iterable[pa.Table], schema: pa.Schema) -> None:
        self._tables, self._schema = iter(tables), schema
        self._left: pa.Table | None = next(self._tables, None)

    def take(self, rows: int) -> pa.Table:
        """The next rows; fewer at the end."""
        pieces = []
        while self._left is not None and rows > 0:
            pieces.append(self._left.slice(0, rows))
            rows -= len(pieces[-1])
            left = self._left.slice(len(pieces[-1]))
            self._left = left if len(left) else next(self._tables, None)
        return pa.concat_tables(pieces) if pieces else self._schema.empty_table()

    def rest(self) -> Iterator[pa.Table]:
        """All remaining rows."""
        if self._left is not None:
            yield self._left
        yield from self._tables


def _note(difference: Difference, part: Path, found: pa.Table, expected: pa.Table, name: str, *, exact: bool) -> None:
    """Count the rows that differ in a column, and keep the first one."""
    one, other = found[name].combine_chunks(), expected[name].combine_chunks()
    differs = _differs(one, other)
    rows = np.flatnonzero(differs)
    if name in {"area_m2", "perimeter_m"}:
        values, wanted = one.to_numpy()[rows], other.to_numpy()[rows]
        # `not <=` instead of `>`, so that NaN counts as a difference.
        rows = rows[~(np.abs(values - wanted) <= SIZE_TOLERANCE * np.abs(wanted))]
    if name == "geometry" and not exact:
        rows = np.array([row for row in rows if not _is_close(one[row].as_py(), other[row].as_py())], np.int64)
    if not len(rows):
        return
    if not difference.rows:
        first = int(rows[0])
        difference.file, difference.polygon_id = part, found["polygon_id"][first].as_py()
        values = one[first].as_py(), other[first].as_py()
        difference.found, difference.expected = _show_vertices(*values) if name == "geometry" else map(_show, values)
    difference.rows += len(rows)


def _differs(one: pa.Array, other: pa.Array) -> NDArray[np.bool_]:
    """Rows in which two columns differ, shape (N,). Two nulls are equal."""
    alike = pc.or_(pc.fill_null(pc.equal(one, other), False), pc.and_(pc.is_null(one), pc.is_null(other)))
    return ~np.asarray(alike.to_numpy(zero_copy_only=False), bool)


def _parse(wkb: bytes) -> Any:
    return shapely.from_wkb(wkb, on_invalid="ignore")


def _is_close(one: bytes, other: bytes) -> bool:
    """Whether two polygons have the same rings, with vertices equal up to `COORDINATE_TOLERANCE`."""
    found, wanted = _parse(one), _parse(other)
    tolerance = COORDINATE_TOLERANCE * np.abs(shapely.get_coordinates(wanted)).max()
    return len(one) == len(other) and bool(shapely.equals_exact(found, wanted, tolerance))


def _show(value: Any) -> str:
    return repr(value) if isinstance(value, str) else str(value)


def _show_vertices(one: bytes, other: bytes) -> tuple[str, str]:
    """The first vertex that differs, or else the numbers of vertices, of two geometries."""
    found, wanted = (shapely.get_coordinates(_parse(wkb)) for wkb in (one, other))
    if found.shape != wanted.shape or (found == wanted).all():
        shown = [f"{shapely.get_num_interior_rings(_parse(wkb))} holes, {len(wkb)} bytes" for wkb in (one, other)]
        return f"{len(found)} vertices, {shown[0]}", f"{len(wanted)} vertices, {shown[1]}"
    row = int(np.flatnonzero((found != wanted).any(axis=1))[0])
    return tuple(f"vertex {row} at {x!s} {y!s}" for x, y in (found[row], wanted[row]))  # type: ignore[return-value]
