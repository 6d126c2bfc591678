"""Write polygon tables as Arrow files; `geoseg.publish.sorting` maps them into memory."""

from pathlib import Path

import pyarrow as pa


def write_table(table: pa.Table) -> bytes:
    """Serialize a table as the content of an Arrow file."""
    buffer = pa.BufferOutputStream()
    _write(buffer, table)
    return bytes(buffer.getvalue())


def save_table(path: Path, table: pa.Table) -> None:
    """Write a table to an Arrow file without a copy in memory."""
    _write(str(path), table)


def _write(sink: pa.NativeFile | str, table: pa.Table) -> None:
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
