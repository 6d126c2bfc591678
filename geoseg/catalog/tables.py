"""Tables of sources: Items in stac-geoparquet, and tile indexes, whose column ``location`` names a file."""

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from geoseg.errors import SceneError
from geoseg.stac.item import Item

TABLE_SUFFIXES = frozenset({".parquet", ".geoparquet", ".gpkg", ".fgb", ".shp"})
LOCATION = "location"
"""Column of a tile index of GDAL that names a file."""
_TOP = {"type", "stac_version", "stac_extensions", "id", "collection", "geometry", "bbox", "links", "assets"}
"""Columns of stac-geoparquet that are not properties."""
_AT_A_TIME = 1000


def read_table(path: Path) -> Iterator[str | Item]:
    """Read the Items or the paths of a table, row by row.

    Raises:
        SceneError: If it cannot be read, or has neither Items nor a column ``location``.
    """
    return _of_parquet(path) if path.suffix.lower().endswith("parquet") else _locations(path)


def _of_parquet(path: Path) -> Iterator[str | Item]:
    import pyarrow as pa  # noqa: PLC0415  tables are rare
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            if "assets" not in names and LOCATION not in names:
                raise _neither(path, names)
            columns = [name for name in names if name not in {"geometry", "links"}] if "assets" in names else [LOCATION]
            for batch in file.iter_batches(_AT_A_TIME, columns=columns):
                for row in batch.to_pylist():
                    yield (
                        Item(_document(row), str(path.absolute())) if "assets" in row else _beside(path, row[LOCATION])
                    )
    except (OSError, pa.ArrowException) as error:
        raise SceneError(f"{path} cannot be read as Parquet: {error}. Write it again.") from error


def _locations(path: Path) -> Iterator[str]:
    import pyogrio  # noqa: PLC0415  as above

    try:
        names = list(pyogrio.read_info(path)["fields"])
        if LOCATION not in names:
            raise _neither(path, names)
        table = pyogrio.read_dataframe(path, columns=[LOCATION], read_geometry=False)
    except (OSError, ValueError, RuntimeError) as error:
        raise SceneError(f"{path} cannot be read as a tile index: {error}. Make it with gdaltindex.") from error
    yield from (_beside(path, location) for location in table[LOCATION])


def _neither(path: Path, names: list[str]) -> SceneError:
    listed = ", ".join(names[:12])
    return SceneError(
        f"{path} has the columns {listed}. A table of sources has assets (stac-geoparquet) or {LOCATION} (gdaltindex)."
    )


def _beside(path: Path, location: str) -> str:
    return location if "://" in location or location.startswith("/") else str(path.absolute().parent / location)


def _document(row: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON of an Item, from its row: columns are its properties, and nulls are what it does not have."""
    document = {key: _plain(value) for key, value in row.items() if key in _TOP and value is not None}
    document["properties"] = {key: _plain(value) for key, value in row.items() if key not in _TOP and value is not None}
    return {"type": "Feature", **document}


def _plain(value: Any) -> Any:
    """A value as in JSON, without nulls in objects."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items() if entry is not None}
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    return None if isinstance(value, float) and math.isnan(value) else value
