"""Write polygons as GeoParquet 1.1 and read them back.

https://geoparquet.org/releases/v1.1.0/
"""

import json
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import geopandas
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.parquet as pq
from pyproj import CRS

from geoseg.errors import SettingsError

ROW_GROUP_ROWS = 1 << 15
PART_ROWS = 1 << 18
"""Rows of a row group and of a part. The counts are fixed, so that the files do not depend on the run."""

GEO_KEY = b"geo"
GEOMETRY = "geometry"
BBOX_FIELDS = ("xmin", "ymin", "xmax", "ymax")
SCENES = pads.partitioning(pa.schema([("scene", pa.string())]), flavor="hive")
"""Declared as a string, because pyarrow would infer a number for a scene named 20240131."""


def write_part(folder: Path, number: int, table: pa.Table, *, crs_wkt: str) -> Path:
    """Write one part of the polygons of a scene, such as ``part-00000.parquet``. The same table gives the same bytes.

    Args:
        folder: An existing folder. After a failure the file may exist and be incomplete.
        number: Number of the part, from 0.
        table: At most `PART_ROWS` rows of `geoseg.publish.polygon_table.polygon_schema` in the order of publication; a
            scene without polygons has one part without rows.
        crs_wkt: CRS of the geometries, see `geoseg.publish.polygon_table.published_crs`.

    Returns:
        The file.
    """
    metadata = {**(table.schema.metadata or {}), GEO_KEY: json.dumps(_geo_metadata(_total_bounds(table), crs_wkt))}
    path = folder / f"part-{number:05d}.parquet"
    with _open_writer(path, table.schema.with_metadata(metadata)) as writer:
        # Without rows no row group: an empty one would have no statistics of the bbox.
        if len(table):
            writer.write_table(table.replace_schema_metadata(metadata), row_group_size=ROW_GROUP_ROWS)
    return path


def write_file(path: Path, parts: Iterable[pa.Table], *, crs_wkt: str) -> None:
    """Write polygons as one file, with one part in memory at a time.

    Args:
        path: The file. After a failure it may exist and be incomplete.
        parts: Tables of one schema with the columns ``geometry`` and ``bbox``, at least one, in the order of
            publication; all but the last of a multiple of `ROW_GROUP_ROWS` rows.
        crs_wkt: CRS of the geometries.
    """
    remaining = iter(parts)
    first = next(remaining)
    bounds: list[float] = []
    with _open_writer(path, first.schema) as writer:
        for table in chain([first], remaining):
            if len(table):
                bounds = _union(bounds, _total_bounds(table))
                writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
        writer.add_key_value_metadata({GEO_KEY: json.dumps(_geo_metadata(bounds, crs_wkt))})


def _open_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        # Level 9 would save 5 % of the size in twice the time, when no other work of the scene is left.
        compression_level=6,
        use_dictionary=["class_id", "value", "class_name", "second_class", "observed_at", "model"],
        # Statistics of WKB take kilobytes and are useless: readers filter by the bbox column.
        write_statistics=[name for name in _leaves(schema) if name != GEOMETRY],
    )


def read_polygons(
    output: str | Path,
    *,
    columns: Sequence[str] | None = None,
    bbox: tuple[float, float, float, float] | None = None,
) -> geopandas.GeoDataFrame:
    """Read the polygons of all scenes of an output folder.

    Args:
        output: The folder a run wrote.
        columns: Columns to read, always with ``geometry``; all if None. ``scene`` names the scene of a polygon.
        bbox: Read only polygons whose box intersects ``(xmin, ymin, xmax, ymax)``, in the CRS of the polygons.

    Raises:
        SettingsError: If the folder has no polygons, or scenes in different CRSs.
    """
    folder = Path(output) / "polygons"
    files = sorted(folder.glob("scene=*/part-00000.parquet"))
    if not files:
        raise SettingsError(
            f"{folder} holds no scene=*/part-00000.parquet. Give the --output folder of a finished run."
        )
    _check_one_crs(files)
    return geopandas.read_parquet(
        folder,
        columns=None if columns is None else list(dict.fromkeys([*columns, GEOMETRY])),
        bbox=bbox,
        partitioning=SCENES,
    )


def _check_one_crs(files: Sequence[Path]) -> None:
    """Check that all files have the same CRS.

    Raises:
        SettingsError: If two files differ.
    """
    first, *others = ((file, file_crs(file)) for file in files)
    for file, crs in others:
        if not crs.equals(first[1], ignore_axis_order=True):
            raise SettingsError(
                f"{first[0]} is in {first[1].name} and {file} in {crs.name}; polygons of one folder share a CRS. "
                "Run the scenes again with polygons.crs=EPSG:nnnn, or write them to different folders."
            )


def file_crs(file: Path) -> CRS:
    """CRS of a file's geometries."""
    geo = json.loads(pq.read_metadata(file).metadata[GEO_KEY])
    return CRS.from_json_dict(geo["columns"][GEOMETRY]["crs"])


def _geo_metadata(bounds: list[float], crs_wkt: str) -> dict[str, Any]:
    """The file metadata that GeoParquet requires; ``bounds`` is empty if there are no rows."""
    column: dict[str, Any] = {
        "encoding": "WKB",
        "geometry_types": ["Polygon"] if bounds else [],
        "crs": CRS.from_wkt(crs_wkt).to_json_dict(),
        "orientation": "counterclockwise",
        "edges": "planar",
        "covering": {"bbox": {name: ["bbox", name] for name in BBOX_FIELDS}},
    }
    if bounds:
        column["bbox"] = bounds
    return {"version": "1.1.0", "primary_column": GEOMETRY, "columns": {GEOMETRY: column}}


def _total_bounds(part: pa.Table) -> list[float]:
    """Box around all rows: ``[xmin, ymin, xmax, ymax]``; empty without rows."""
    if not len(part):
        return []
    bounds = [pc.min_max(pc.struct_field(part["bbox"], name)) for name in BBOX_FIELDS]
    extremes = ("min", "min", "max", "max")
    return [bound[extreme].as_py() for bound, extreme in zip(bounds, extremes, strict=True)]


def _union(one: list[float], other: list[float]) -> list[float]:
    """Box around two boxes; ``one`` may be empty."""
    extremes = (min, min, max, max)
    return [extreme(a, b) for extreme, a, b in zip(extremes, one, other, strict=True)] if one else other


def _leaves(schema: pa.Schema) -> list[str]:
    """Paths of the columns in Parquet: the fields of a struct instead of the struct."""
    return [
        f"{field.name}.{child.name}" if child else field.name
        for field in schema
        for child in (field.type if pa.types.is_struct(field.type) else [None])
    ]
