"""The table of a scene's polygons: ids, classes, geometry, areas and lengths."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from geoseg.errors import SceneError
from geoseg.grid.decision import MARGIN, PROBABILITIES
from geoseg.grid.hilbert import hilbert_index
from geoseg.grid.legend import Legend
from geoseg.grid.window import Grid
from geoseg.publish.geodesy.crs import NATIVE, named_crs
from geoseg.publish.geodesy.measure import AREA_METHOD_KEY, geodesic_perimeters, planar_perimeters
from geoseg.publish.geodesy.pixel_area import pixel_area
from geoseg.publish.geodesy.reproject import reproject
from geoseg.publish.wkb import to_wkb
from geoseg.vector.polygons import PixelPolygons

POLYGON_SCHEMA = pa.schema(
    [
        pa.field("polygon_id", pa.int64(), nullable=False),
        pa.field("class_id", pa.uint8(), nullable=False),
        # Not Arrow's dictionary type, which readers handle differently; Parquet stores strings as a dictionary anyway.
        pa.field("class_name", pa.string(), nullable=False),
        pa.field("area_m2", pa.float64(), nullable=False),
        pa.field("perimeter_m", pa.float64(), nullable=False),
        pa.field("pixels", pa.int64(), nullable=False),
        pa.field("confidence", pa.float32(), nullable=False),
        pa.field("observed_at", pa.timestamp("us", "UTC")),
        pa.field("model", pa.string(), nullable=False),
        pa.field("geometry", pa.binary(), nullable=False),
        pa.field(
            "bbox",
            pa.struct([pa.field(name, pa.float64(), nullable=False) for name in ("xmin", "ymin", "xmax", "ymax")]),
            nullable=False,
        ),
    ]
)
"""Columns of the published polygons; ``geometry`` is WKB, ``confidence`` 0..1, ``bbox`` in the published CRS.

``area_m2`` is the area of a polygon's pixels on the ground, see `geoseg.publish.geodesy.pixel_area`; ``perimeter_m``
is the length of its rings in the scene's own CRS.
"""

LAYER_FIELDS = {
    MARGIN: pa.field("margin_mean", pa.float32(), nullable=False),
    PROBABILITIES: pa.field("second_class", pa.string()),
}
"""Columns that stand after ``confidence`` if their layer is published, in this order.

``margin_mean`` is the mean of the raster over the polygon's pixels, 0..1. ``second_class`` is the class, other than the
polygon's own, whose raster has the largest mean there; on ties the first one, null if the model has no other class.
"""

MAX_VERTICES = 1 << 26
"""Most vertices of a polygon: its WKB, 16 bytes for each, must stay far below Arrow's limit of 2 GiB."""


def build_table(
    polygons: PixelPolygons,
    grid: Grid,
    legend: Legend,
    *,
    cut_px: int,
    crs: str = NATIVE,
    observed_at: datetime | None = None,
    model: str,
    layers: Collection[str] = (),
) -> pa.Table:
    """Build the table of polygons with their attributes.

    Rows are ordered along the Hilbert curve by the lattice cell of their first pixel, then by ``polygon_id``.

    Args:
        polygons: Polygons in the scene's CRS coordinates, shells counter-clockwise; in any order.
        grid: The scene's grid. Areas are sums over the polygons' pixels, lengths are of the rings in the scene's own
            CRS. Both do not depend on ``crs``.
        legend: Names of the classes.
        cut_px: Period of the cut lattice.
        crs: CRS of the result: ``native``, or ``EPSG:nnnn``, which adds vertices, see `reproject`.
        observed_at: Acquisition time of the scene, with a time zone.
        model: Name of the model, the same in every row.
        layers: Layers of the scene; the polygons have the sums of those in `geoseg.grid.decision.SUMMED`.

    Returns:
        A table of `polygon_schema`. Its metadata contain how areas were measured.

    Raises:
        SceneError: If the scene has no CRS, a class is not in the legend, a polygon has more than `MAX_VERTICES`
            vertices, or a vertex is outside the area where ``crs`` is defined.
        SettingsError: If ``crs`` is not a CRS.
        ValueError: If ``observed_at`` has no time zone.
    """
    if observed_at is not None and observed_at.tzinfo is None:
        raise ValueError(f"observed_at={observed_at} has no time zone.")
    published = published_crs(grid, crs)
    if len(polygons) and polygons.class_id.max() >= len(legend):
        raise SceneError(
            f"The class map holds class {polygons.class_id.max()} and the legend ends at {len(legend) - 1}. "
            "Use the legend of the model that made the class map."
        )
    polygons = polygons.take(publication_order(polygons.first_pixel, grid, cut_px))
    geometry = polygons.geometry
    if crs != NATIVE:
        geometry = shapely.orient_polygons(reproject(geometry, grid, published))
    vertices = shapely.get_num_coordinates(geometry)
    if len(polygons) and vertices.max() > MAX_VERTICES:
        name = legend.names[polygons.class_id[vertices.argmax()]]
        raise SceneError(
            f"A polygon of class {name!r} has {vertices.max()} vertices, more than the {MAX_VERTICES} that a file can "
            f"hold of one. Cut the class at a grid with polygons.not_dissolved: [{name}], or set polygons.simplify_px "
            "higher."
        )
    area = pixel_area(grid)
    units = polygons.pixels if area.method == "planar" else polygons.area_units
    if units is None and len(polygons):
        raise ValueError("Polygons of a scene that is not planar need `area_units`, see `pixel_area.add_areas`.")
    lengths = planar_perimeters if area.method == "planar" else geodesic_perimeters
    rows = len(polygons)
    columns = [
        polygons.first_pixel,
        polygons.class_id,
        pa.array(legend.names, pa.string()).take(pa.array(polygons.class_id)),
        area.in_m2(polygons.pixels if units is None else units),
        lengths(polygons.geometry, CRS.from_wkt(grid.crs)),
        polygons.pixels,
        (polygons.confidence_sum / polygons.pixels / 255).astype(np.float32),
        *(_layer_column(name, polygons, layers, legend) for name in LAYER_FIELDS if name in layers),
        pa.repeat(pa.scalar(observed_at, POLYGON_SCHEMA.field("observed_at").type), rows),
        pa.repeat(pa.scalar(model, pa.string()), rows),
        to_wkb(geometry),
        pa.StructArray.from_arrays(
            list(shapely.bounds(geometry).reshape(rows, 4).T), fields=list(POLYGON_SCHEMA.field("bbox").type)
        ),
    ]
    return pa.table(columns, polygon_schema(layers).with_metadata({AREA_METHOD_KEY: area.method}))


def polygon_schema(layers: Collection[str] = ()) -> pa.Schema:
    """`POLYGON_SCHEMA`, with the columns of published layers."""
    schema, place = POLYGON_SCHEMA, POLYGON_SCHEMA.get_field_index("confidence")
    for number, field in enumerate((field for name, field in LAYER_FIELDS.items() if name in layers), 1):
        schema = schema.insert(place + number, field)
    return schema


def layers_of(columns: Collection[str]) -> tuple[str, ...]:
    """The layers whose columns are among those of a table."""
    return tuple(name for name, field in LAYER_FIELDS.items() if field.name in columns)


def _layer_column(name: str, polygons: PixelPolygons, layers: Collection[str], legend: Legend) -> Any:
    """Values of a column of `LAYER_FIELDS`; sums are those of the probabilities, then that of the margin."""
    sums = polygons.layer_sums
    if sums is None:
        if len(polygons):
            raise ValueError(f"Polygons with {name} need `layer_sums`.")
        sums = np.zeros((0, 1 + (MARGIN in layers)), np.int64)
    if name == MARGIN:
        return (sums[:, -1] / polygons.pixels / 255).astype(np.float32)
    others = (sums[:, :-1] if MARGIN in layers else sums).copy()
    own = np.flatnonzero(polygons.class_id < others.shape[1])
    others[own, polygons.class_id[own]] = -1
    second = others.argmax(1)
    names = pa.array(legend.names, pa.string()).take(pa.array(second))
    return pc.if_else(pa.array(others[np.arange(len(second)), second] >= 0), names, pa.scalar(None, pa.string()))


def published_crs(grid: Grid, crs: str = NATIVE) -> str:
    """CRS of the published polygons as WKT 2.

    Args:
        grid: The scene's grid.
        crs: ``native`` or ``EPSG:nnnn``.

    Raises:
        SceneError: If the scene has no CRS.
        SettingsError: If ``crs`` is not a CRS.
    """
    if not grid.crs:
        raise SceneError(
            "The scene has no CRS, so its polygons have no place on the earth. Give it one, e.g. with "
            "`rio edit-info --crs EPSG:32633 FILE`, or publish rasters only."
        )
    if crs == NATIVE:
        return grid.crs
    return str(named_crs(crs).to_wkt())


def publication_order(polygon_id: NDArray[np.int64], grid: Grid, cut_px: int) -> NDArray[np.intp]:
    """Indices that sort polygons by the Hilbert index of the lattice cell of their first pixel, then by id.

    Args:
        polygon_id: ``row * width + col`` of each polygon's first pixel.
        grid: The scene's grid.
        cut_px: Period of the cut lattice.
    """
    row, col = np.divmod(polygon_id, grid.width)
    cells = (-(-grid.height // cut_px), -(-grid.width // cut_px))
    return np.lexsort((polygon_id, hilbert_index(row // cut_px, col // cut_px, cells)))
