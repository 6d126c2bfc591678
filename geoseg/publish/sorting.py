"""Sort the polygons of many blocks into the order of publication, out of core.

The table of each block is an Arrow file. Only ids are in memory; the rows of a part are read from the memory-mapped
files when the part is written.
"""

import ctypes
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from geoseg.grid.window import Grid
from geoseg.publish.geoparquet import GEOMETRY, PART_ROWS
from geoseg.publish.polygon_table import publication_order

ARRAY_BYTES = 1 << 30
"""Approximate size of one array of geometries; Arrow's limit is 2 GiB."""


def sorted_parts(files: Sequence[Path], grid: Grid, cut_px: int) -> Iterator[pa.Table]:
    """Read all rows of the files in the order of publication, in parts of a fixed number of rows.

    Args:
        files: Arrow files of `geoseg.publish.polygon_table.polygon_schema`, at least one, in any order.
        grid: The scene's grid.
        cut_px: Period of the cut lattice.

    Yields:
        Tables of at most `PART_ROWS` rows; one without rows if there are no polygons.
    """
    files = sorted(files)
    # Copies, so that no file stays mapped: touched pages would count as memory of this process until it ends.
    ids = [_open(file)["polygon_id"].to_numpy().copy() for file in files]
    file_of = np.repeat(np.arange(len(files), dtype=np.int32), [len(part) for part in ids])
    row_of = np.concatenate([np.arange(len(part), dtype=np.int32) for part in ids])
    order = publication_order(np.concatenate(ids), grid, cut_px)
    for start in range(0, max(1, len(order)), PART_ROWS):
        _release_memory()
        yield _take(files, file_of, row_of, order[start : start + PART_ROWS])


def _release_memory() -> None:
    """Return free memory of Arrow and the C library to the system.

    After millions of small geometries the C library keeps gigabytes in gaps too small for the next large array.
    """
    pa.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # only in glibc
        trim(0)


def _open(file: Path) -> pa.Table:
    """Map a file into memory while the table is used."""
    return pa.ipc.open_file(pa.memory_map(str(file))).read_all()


def _take(paths: Sequence[Path], file_of: np.ndarray, row_of: np.ndarray, chosen: np.ndarray) -> pa.Table:
    """Rows of several files, in the order of ``chosen``."""
    if not len(chosen):
        return _open(paths[0]).slice(0, 0)
    by_file = np.argsort(file_of[chosen], kind="stable")
    table = _gather(paths, file_of[chosen[by_file]], row_of[chosen[by_file]])
    back = np.empty(len(chosen), np.int64)
    back[by_file] = np.arange(len(chosen))
    # Split by the sizes of the rows and not by file, so that the result does not depend on the files.
    ends = np.cumsum(pc.binary_length(table[GEOMETRY]).to_numpy()[back])
    cuts = np.flatnonzero(np.diff(ends // ARRAY_BYTES)) + 1
    return pa.concat_tables([_with_type(table.take(rows), pa.binary()) for rows in np.split(back, cuts)])


def _gather(paths: Sequence[Path], file_of: np.ndarray, row_of: np.ndarray) -> pa.Table:
    """Rows of several files, file after file; ``file_of`` is ascending."""
    files, starts = np.unique(file_of, return_index=True)
    # Without the limit of 2 GiB, and back in `_take`.
    pieces = [
        _with_type(_open(paths[file]), pa.large_binary()).take(rows)
        for file, rows in zip(files, np.split(row_of, starts[1:]), strict=True)
    ]
    return pa.concat_tables(pieces).combine_chunks()


def _with_type(table: pa.Table, dtype: pa.DataType) -> pa.Table:
    """Convert the geometries to another Arrow type."""
    index = table.schema.get_field_index(GEOMETRY)
    return table.cast(table.schema.set(index, table.schema.field(index).with_type(dtype)))
