"""Write polygons as one file in the format of its suffix."""

import errno
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from itertools import chain
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyogrio

from geoseg.errors import SettingsError
from geoseg.publish.geoparquet import write_file

OGR_DRIVERS = {".gpkg": "GPKG", ".fgb": "FlatGeobuf"}
"""GDAL's driver for each suffix other than that of GeoParquet."""

SUFFIXES = (".parquet", *OGR_DRIVERS)


def check_suffix(path: Path) -> None:
    """Check the suffix of a file for `write_vector_file`.

    Raises:
        SettingsError: If it is unknown.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise SettingsError(
            f"{path} ends in {path.suffix or 'no suffix'!r}, so its format is unknown. Use {', '.join(SUFFIXES)}."
        )


def other_layers(path: Path) -> list[str] | None:
    """Names of the contents of a GeoPackage other than the layer that `write_vector_file` writes.

    Returns:
        None if there is no such file or it has another format, so that nothing is kept.

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
    except sqlite3.Error:  # not a GeoPackage, in spite of its name: nothing to keep
        return None
    return [name for name in names if name != path.stem]


def write_vector_file(path: Path, parts: Iterable[pa.Table], *, crs_wkt: str) -> None:
    """Write polygons part by part. Memory: one part, and GDAL's spatial index for ``.gpkg`` and ``.fgb``.

    Args:
        path: The file, with one of `SUFFIXES`. After a failure it may be incomplete. In an existing GeoPackage only the
            layer with the name of the file is replaced.
        parts: Tables of one schema with the columns ``geometry`` (WKB) and ``bbox``, at least one. Other formats
            than GeoParquet are written without ``bbox``, because they have an index.
        crs_wkt: CRS of the geometries.

    Raises:
        SettingsError: If the suffix is unknown.
        OSError: If the file cannot be written.
    """
    check_suffix(path)
    if path.suffix.lower() == ".parquet":
        write_file(path, parts, crs_wkt=crs_wkt)
        return
    tables = map(_for_ogr, parts)
    first = next(tables)
    batches = (batch for table in chain([first], tables) for batch in table.to_batches())
    write_layer(path, first.schema, batches, driver=OGR_DRIVERS[path.suffix.lower()], layer=path.stem, crs=crs_wkt)


def write_layer(
    path: Path,
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    *,
    driver: str,
    layer: str,
    crs: str,
    countable: bool = True,
    options: Mapping[str, str] | None = None,
) -> int:
    """Write polygons with a driver of GDAL, with one batch in memory, and whatever the driver keeps.

    Args:
        path: The file. After a failure it may be incomplete.
        schema: Columns, of types that GDAL knows, with ``geometry`` (WKB).
        batches: The rows.
        driver: Name of the driver.
        layer: Name of the layer.
        crs: CRS of the geometries.
        countable: Whether the driver tells the number of features of a file without reading all of it; it is then
            compared.
        options: Options of the driver.

    Returns:
        Number of polygons.

    Raises:
        OSError: If the file cannot be written.
    """
    count = 0
    failures: list[BaseException] = []

    def counted() -> Iterator[pa.RecordBatch]:
        nonlocal count
        try:
            for batch in batches:
                count += len(batch)
                yield batch
        except BaseException as error:
            failures.append(error)
            raise

    try:
        pyogrio.write_arrow(
            pa.RecordBatchReader.from_batches(schema, counted()),
            path,
            layer=layer,
            driver=driver,
            geometry_name="geometry",
            geometry_type="Polygon",
            crs=crs,
            **(options or {}),
        )
        # Some failures of GDAL, e.g. a full disk, are visible only in the number of features.
        written = pyogrio.read_info(path, layer=layer, force_feature_count=True)["features"] if countable else count
    except (RuntimeError, ValueError) as error:  # the base classes of pyogrio's errors
        if failures:  # GDAL hides the errors of what it reads from
            raise failures[0] from error
        raise OSError(errno.EIO, f"GDAL cannot write it ({error})", str(path)) from error
    if written != count:
        raise OSError(errno.EIO, f"GDAL wrote {written} of {count} polygons", str(path))
    return count


def _for_ogr(table: pa.Table) -> pa.Table:
    """Remove or convert columns for which GDAL has no field type: structs and unsigned integers of 64 bits."""
    table = table.drop_columns(["bbox"]).replace_schema_metadata(None)
    fields = [field.with_type(pa.int64()) if field.type == pa.uint64() else field for field in table.schema]
    return table.cast(pa.schema(fields))
