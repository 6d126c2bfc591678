"""Polygons of a scene as GeoParquet parts, as a run publishes them."""

from pathlib import Path

import pyarrow as pa

from geoseg.publish import geoparquet


def write_parts(folder: Path, table: pa.Table, crs_wkt: str) -> list[Path]:
    """Write a table in parts of `geoparquet.PART_ROWS` rows."""
    size = geoparquet.PART_ROWS
    slices = [table.slice(start, size) for start in range(0, max(1, len(table)), size)]
    return [geoparquet.write_part(folder, number, part, crs_wkt=crs_wkt) for number, part in enumerate(slices)]
