"""Write polygons as one file of the format that its name asks for."""

import errno
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyogrio

from geoseg.errors import SettingsError
from geoseg.publish.geoparquet import write_file

OGR_DRIVERS = {".gpkg": "GPKG", ".fgb": "FlatGeobuf"}
"""GDAL's name of the format for each suffix but that of GeoParquet."""

SUFFIXES = (".parquet", *OGR_DRIVERS)


def check_suffix(path: Path) -> None:
    """Make sure that `write_vector_file` knows the format.

    Raises:
        SettingsError: If it does not.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise SettingsError(
            f"{path} ends in {path.suffix or 'no suffix'!r}, so its format is unknown. Use {', '.join(SUFFIXES)}."
        )


def other_layers(path: Path) -> list[str] | None:
    """Names of what a GeoPackage holds besides the layer that `write_vector_file` writes.

    Returns:
        None if there is no such file or it is of another format, so that nothing of it can be kept.

    Raises:
        SettingsError: If another program has changes that are not in the file yet.
    """
    if path.suffix.lower() != ".gpkg" or not path.is_file():
        return None
    for pending in (path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-journal")):
        if pending.exists() and pending.stat().st_size:
            raise SettingsError(
                f"{path} is open in another program, or was when that died: {pending.name} holds changes that are not "
                "in it yet. Close the file there, or open and close it once, then run the same command again."
            )
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)) as database:
            names = [name for (name,) in database.execute("SELECT table_name FROM gpkg_contents ORDER BY table_name")]
    except sqlite3.Error:  # no GeoPackage, whatever its name says: there is nothing to keep
        return None
    return [name for name in names if name != path.stem]


def write_vector_file(path: Path, parts: Iterable[pa.Table], *, crs_wkt: str) -> None:
    """Write polygons part by part; memory is bounded by a part, and by GDAL's spatial index for ``.gpkg`` and ``.fgb``.

    Args:
        path: The file, ending in one of `SUFFIXES`; a failure leaves a part of it. Of a GeoPackage that exists the
            layer named as the file is replaced, all else stays.
        parts: Tables of one schema with the columns ``geometry`` (WKB) and ``bbox``, at least one. Formats other than
            GeoParquet do without ``bbox``, since they have an index.
        crs_wkt: CRS of the geometries.

    Raises:
        SettingsError: If the suffix is unknown.
        OSError: If the file cannot be written.
    """
    check_suffix(path)
    if path.suffix.lower() == ".parquet":
        write_file(path, parts, crs_wkt=crs_wkt)
        return
    remaining = map(_for_ogr, parts)
    first = next(remaining)

    count = 0

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal count
        for table in chain([first], remaining):
            count += len(table)
            yield from table.to_batches()

    try:
        pyogrio.write_arrow(
            pa.RecordBatchReader.from_batches(first.schema, batches()),
            path,
            layer=path.stem,
            driver=OGR_DRIVERS[path.suffix.lower()],
            geometry_name="geometry",
            geometry_type="Polygon",
            crs=crs_wkt,
        )
        # GDAL tells of some failures to write, such as of a full disk, in no other way.
        written = pyogrio.read_info(path, layer=path.stem, force_feature_count=True)["features"]
    except (RuntimeError, ValueError) as error:  # what pyogrio's errors are
        raise OSError(errno.EIO, f"GDAL cannot write it ({error})", str(path)) from error
    if written != count:
        raise OSError(errno.EIO, f"GDAL wrote {written} of {count} polygons", str(path))


def _for_ogr(table: pa.Table) -> pa.Table:
    """Leave away what GDAL has no field type for: structs and unsigned integers of 64 bits."""
    table = table.drop_columns(["bbox"]).replace_schema_metadata(None)
    fields = [field.with_type(pa.int64()) if field.type == pa.uint64() else field for field in table.schema]
    return table.cast(pa.schema(fields))
