"""The limits of the shapefile format: names and texts are adapted or refused, sizes are checked before writing."""

import pyarrow as pa
import pyarrow.compute as pc

from geoseg.errors import SettingsError
from geoseg.gis_export.results import Results
from geoseg.publish.geoparquet import GEOMETRY

MAX_BYTES = (1 << 31) - 1
"""Of the .shp and of the .dbf: offsets are signed numbers of 32 bits, in units of which GDAL uses only half."""
MAX_TEXT_BYTES = 254
SHORT_NAMES = {
    "perimeter_m": "perim_m",
    "observed_at": "observed",
    "margin_mean": "margin",
    "second_class": "class_2nd",
}
"""Names for the columns that are longer than the 10 characters of a .dbf."""
INSTEAD = "Use --to gpkg, which has no such limit."
_FIELD_BYTES = {pa.int16(): 6, pa.int64(): 18, pa.float32(): 24, pa.float64(): 24}
_RECORD_BYTES = 44
"""Of a polygon in a .shp, more than its WKB in Parquet takes."""


def check_size(results: Results, *, filtered: bool) -> None:
    """Refuse results that cannot fit, before anything is written; with a filter only GDAL finds out.

    Raises:
        SettingsError: If the .shp or the .dbf would be larger than `MAX_BYTES`.
    """
    if filtered:
        return
    # Parquet adds at least 4 bytes to a value, and encodes repeated ones once.
    shp = results.geometry_bytes + (_RECORD_BYTES - 4) * results.rows
    dbf = results.rows * sum(_FIELD_BYTES.get(field.type, 0) for field in results.schema)
    for name, size in ((".shp", shp), (".dbf", dbf)):
        if size > MAX_BYTES:
            raise SettingsError(
                f"{results.rows:,} polygons need a {name} of at least {size / 1e9:.1f} GB, and a shapefile holds "
                f"at most 2 GB ({MAX_BYTES:,} bytes) in each of its files. Select some with --scene or --classes. "
                f"{INSTEAD}"
            )


def shapefile_schema(schema: pa.Schema) -> pa.Schema:
    """The columns with names of at most 10 characters; times are texts, because a .dbf has dates only."""
    return pa.schema(
        [
            pa.field(SHORT_NAMES.get(field.name, field.name), pa.string() if _is_time(field) else field.type)
            for field in schema
        ]
    )


def to_shapefile(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Adapt a batch to `shapefile_schema`.

    Raises:
        SettingsError: If a text is too long for a .dbf.
    """
    columns = []
    for field, column in zip(batch.schema, batch.columns, strict=True):
        adapted = _as_text(column) if _is_time(field) else column
        if pa.types.is_string(field.type) and field.name != GEOMETRY:
            longest = pc.max(pc.binary_length(adapted)).as_py() or 0
            if longest > MAX_TEXT_BYTES:
                raise SettingsError(
                    f"A value of the column {field.name} has {longest} bytes, and a shapefile holds texts of at most "
                    f"{MAX_TEXT_BYTES} bytes. {INSTEAD}"
                )
        columns.append(adapted)
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _as_text(times: pa.Array) -> pa.Array:
    """UTC times in ISO 8601, with whole seconds."""
    return pc.strftime(pc.floor_temporal(times, unit="second").cast(pa.timestamp("s", "UTC")), "%Y-%m-%dT%H:%M:%SZ")


def _is_time(field: pa.Field) -> bool:
    return bool(pa.types.is_timestamp(field.type))
