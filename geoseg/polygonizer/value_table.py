"""The table of polygons of a raster with any integer values."""

from collections.abc import Mapping

import pyarrow as pa

from geoseg.grid.legend import Legend, LegendClass
from geoseg.grid.window import Grid
from geoseg.polygonizer.values import Values
from geoseg.publish.polygon_table import build_table
from geoseg.vector.polygons import PixelPolygons

COLUMNS = ("polygon_id", "value", "class_name", "area_m2", "perimeter_m", "pixels", "geometry", "bbox")
"""Columns of the table."""


def build_value_table(
    polygons: PixelPolygons, *, grid: Grid, values: Values, names: Mapping[int, str], cut_px: int
) -> pa.Table:
    """Build the table of polygons with their attributes.

    Args:
        polygons: Polygons in the raster's CRS coordinates, in any order.
        grid: The raster's grid.
        values: The value of each class id.
        names: Names of values; the name of any other value is its digits.
        cut_px: Side of a lattice cell, for the order of the rows; see `geoseg.publish.polygon_table.build_table`.

    Returns:
        A table of `COLUMNS`, ``value`` in the raster's type, the others as in `POLYGON_SCHEMA`.

    Raises:
        SceneError: If the raster has no CRS.
    """
    numbers = values.values.tolist()
    # A legend is never empty and its names differ; the names in a raster may be equal.
    legend = Legend(tuple(LegendClass(i, str(number), (0, 0, 0)) for i, number in enumerate(numbers or [0])))
    table = build_table(polygons, grid, legend, cut_px=cut_px, model="")
    class_id = table["class_id"].to_numpy()
    name = pa.array([names.get(number, str(number)) for number in numbers], pa.string())
    value_type = pa.from_numpy_dtype(values.values.dtype)
    columns = {
        "value": pa.array(values.values[class_id], value_type),
        "class_name": name.take(pa.array(class_id)),
    }
    fields = [
        pa.field("value", value_type, nullable=False) if column == "value" else table.schema.field(column)
        for column in COLUMNS
    ]
    chosen = [columns[column] if column in columns else table[column] for column in COLUMNS]
    return pa.table(chosen, pa.schema(fields, table.schema.metadata))
