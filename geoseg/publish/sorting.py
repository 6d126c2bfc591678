"""Bring the polygons of many blocks into the order of publication, out of core.

Each block's table lies in an Arrow file of its own. Only ids are held in memory; the rows of a part are taken from the
memory-mapped files when the part is written.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from geoseg.grid.window import Grid
from geoseg.publish.geoparquet import GEOMETRY, PART_ROWS
from geoseg.publish.memory import give_back_memory
from geoseg.publish.polygon_table import publication_order

ARRAY_BYTES = 1 << 30
"""About what the geometries of one array of a part take: Arrow's end at 2 GiB."""


def sorted_parts(files: Sequence[Path], grid: Grid, cut_px: int) -> Iterator[pa.Table]:
    """Cut all rows of the files, in the order of publication, into parts of a fixed count.

    Args:
        files: Arrow files of `geoseg.publish.polygon_table.POLYGON_SCHEMA`, at least one, in any order.
        grid: The scene's frame.
        cut_px: Side of a lattice cell.

    Yields:
        Tables of at most `PART_ROWS` rows; one without rows if there are no polygons.
    """
    files = sorted(files)
    # Copies, so that no file stays mapped: pages once touched would count as this process's memory to the end.
    ids = [_open(file)["polygon_id"].to_numpy().copy() for file in files]
    file_of = np.repeat(np.arange(len(files), dtype=np.int32), [len(part) for part in ids])
    row_of = np.concatenate([np.arange(len(part), dtype=np.int32) for part in ids])
    order = publication_order(np.concatenate(ids), grid, cut_px)
    for start in range(0, max(1, len(order)), PART_ROWS):
        give_back_memory()
        yield _take(files, file_of, row_of, order[start : start + PART_ROWS])


def _open(file: Path) -> pa.Table:
    """Map a file into memory for as long as the table is used."""
    return pa.ipc.open_file(pa.memory_map(str(file))).read_all()


def _take(paths: Sequence[Path], file_of: np.ndarray, row_of: np.ndarray, chosen: np.ndarray) -> pa.Table:
    """Rows of several files, in the order of ``chosen``."""
    if not len(chosen):
        return _open(paths[0]).slice(0, 0)
    by_file = np.argsort(file_of[chosen], kind="stable")
    table = _gather(paths, file_of[chosen[by_file]], row_of[chosen[by_file]])
    back = np.empty(len(chosen), np.int64)
    back[by_file] = np.arange(len(chosen))
    # Cut by what the rows hold, not by the file they come from.
    ends = np.cumsum(pc.binary_length(table[GEOMETRY]).to_numpy()[back])
    cuts = np.flatnonzero(np.diff(ends // ARRAY_BYTES)) + 1
    return pa.concat_tables([_narrow(table.take(rows)) for rows in np.split(back, cuts)])


def _gather(paths: Sequence[Path], file_of: np.ndarray, row_of: np.ndarray) -> pa.Table:
    """Rows of several files, file after file; ``file_of`` is ascending."""
    files, starts = np.unique(file_of, return_index=True)
    pieces = [
        _widen(_open(paths[file])).take(rows) for file, rows in zip(files, np.split(row_of, starts[1:]), strict=True)
    ]
    return pa.concat_tables(pieces).combine_chunks()


def _widen(table: pa.Table) -> pa.Table:
    """Let an array of geometries hold more than 2 GiB."""
    return _retype(table, pa.large_binary())


def _narrow(table: pa.Table) -> pa.Table:
    """Undo `_widen`."""
    return _retype(table, pa.binary())


def _retype(table: pa.Table, dtype: pa.DataType) -> pa.Table:
    place = table.schema.get_field_index(GEOMETRY)
    return table.cast(table.schema.set(place, table.schema.field(place).with_type(dtype)))
