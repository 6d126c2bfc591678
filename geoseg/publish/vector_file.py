"""Write polygons as one file of the format that its name asks for."""

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

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


def write_vector_file(path: Path, parts: Iterable[pa.Table], *, crs_wkt: str) -> None:
    """Write polygons part by part; memory is bounded by a part, and by GDAL's spatial index for ``.gpkg`` and ``.fgb``.

    Args:
        path: The file, ending in one of `SUFFIXES`; a failure leaves a part of it.
        parts: Tables of one schema with the columns ``geometry`` (WKB) and ``bbox``, at least one. Formats other than
            GeoParquet do without ``bbox``, since they have an index.
        crs_wkt: CRS of the geometries.

    Raises:
        SettingsError: If the suffix is unknown.
    """
    check_suffix(path)
    if path.suffix.lower() == ".parquet":
        write_file(path, parts, crs_wkt=crs_wkt)
        return
    remaining = map(_for_ogr, parts)
    first = next(remaining)

    def batches() -> Iterator[pa.RecordBatch]:
        for table in chain([first], remaining):
            yield from table.to_batches()

    pyogrio.write_arrow(
        pa.RecordBatchReader.from_batches(first.schema, batches()),
        path,
        driver=OGR_DRIVERS[path.suffix.lower()],
        geometry_name="geometry",
        geometry_type="Polygon",
        crs=crs_wkt,
    )


def _for_ogr(table: pa.Table) -> pa.Table:
    """Leave away what GDAL has no field type for: structs and unsigned integers of 64 bits."""
    table = table.drop_columns(["bbox"]).replace_schema_metadata(None)
    fields = [field.with_type(pa.int64()) if field.type == pa.uint64() else field for field in table.schema]
    return table.cast(pa.schema(fields))
