"""The table of a scene's polygons: ids, classes, geometry, areas and lengths."""

from datetime import datetime

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from geoseg.errors import SceneError
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

    Returns:
        A table of `POLYGON_SCHEMA`. Its metadata contain how areas were measured.

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
        pa.repeat(pa.scalar(observed_at, POLYGON_SCHEMA.field("observed_at").type), rows),
        pa.repeat(pa.scalar(model, pa.string()), rows),
        to_wkb(geometry),
        pa.StructArray.from_arrays(
            list(shapely.bounds(geometry).reshape(rows, 4).T), fields=list(POLYGON_SCHEMA.field("bbox").type)
        ),
    ]
    return pa.table(columns, POLYGON_SCHEMA.with_metadata({AREA_METHOD_KEY: area.method}))


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
