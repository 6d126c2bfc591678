"""Any class map in memory to a GeoDataFrame."""

from collections.abc import Sequence
from typing import Any

import geopandas
import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.grid.legend import NODATA_CLASS
from geoseg.grid.values import Values
from geoseg.grid.window import Grid
from geoseg.publish.polygons import to_crs
from geoseg.vector import engine
from geoseg.vector.compiled import compiled

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
"""The transform that leaves coordinates in pixels."""


def polygonize(
    array: NDArray[Any],
    *,
    transform: Sequence[float] | None = None,
    crs: Any = None,
    nodata: float | None = None,
    simplify_px: float = 0.0,
    min_area_px: int = 0,
    values: Sequence[int] | None = None,
) -> geopandas.GeoDataFrame:
    """Turn a class map into polygons: its 4-connected components, as a coverage without a gap.

    Args:
        array: Integers or bools, shape (H, W), with at most 255 different values that become polygons.
        transform: Affine transform ``(a, b, c, d, e, f)`` of pixel corners, such as rasterio's; None stays in pixels.
        crs: CRS of the geometries, as geopandas takes it.
        nodata: Value that becomes no polygon.
        simplify_px: See `geoseg.vector.simplify.simplify_arcs`; 0 keeps every corner.
        min_area_px: Components of fewer pixels take the value of a neighbour.
        values: Values that become polygons, all others count as nodata; None takes all.

    Returns:
        Columns ``polygon_id`` (row * W + column of the first pixel, ascending), ``value`` (of the array's type),
        ``pixels`` and ``geometry`` (shells counter-clockwise).

    Raises:
        ValueError: If the array is not two-dimensional, empty or not of integers, holds more than 255 values, or an
            option lies beyond its limits.
    """
    array = np.asarray(array)
    if array.ndim != 2 or array.dtype.kind not in "biu" or not array.size:
        raise ValueError(
            f"A class map holds integers or bools in the shape (H, W), got {array.dtype} of shape {array.shape}. "
            "Round or classify it first."
        )
    pixels = array.view(np.uint8) if array.dtype == np.bool_ else array
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    a, b, c, d, e, f = IDENTITY if transform is None else tuple(transform)[:6]
    grid = Grid(array.shape[0], array.shape[1], (a, b, c, d, e, f), "")
    if pixels.dtype == np.uint8 and nodata is None and pixels.max() < NODATA_CLASS:
        # No pixel has it, and then each value is its own class id: no search, no copy.
        nodata = NODATA_CLASS
    known = Values.choose([pixels], pixels.dtype, nodata=nodata, wanted=values)
    found = engine.polygonize(known.encode(pixels), simplify_px=simplify_px, min_area_px=min_area_px)
    columns = {
        "polygon_id": found.first_pixel,
        "value": known.values[found.class_id].astype(array.dtype.newbyteorder("="), copy=False),
        "pixels": found.pixels,
    }
    return geopandas.GeoDataFrame(columns, geometry=_place(found.geometry, grid), crs=crs)


def _place(polygons: NDArray[Any], grid: Grid) -> NDArray[Any]:
    """Apply the affine transform, and turn rings around where it mirrors them.

    Builds new polygons from all coordinates at once: `shapely.transform` and `orient_polygons`, which take each polygon
    by itself, need as long as all the rest.
    """
    if grid.transform == IDENTITY:
        return polygons
    corners = shapely.get_coordinates(polygons)
    placed = to_crs(corners, grid)
    rings = np.zeros(len(corners) // 4 + 1, np.int64)
    a, b, _, d, e, _ = grid.transform
    count = _split_rings(corners, placed, a * e < b * d, rings)
    shells = np.concatenate([[0], np.cumsum(1 + shapely.get_num_interior_rings(polygons))])
    placed_polygons = shapely.from_ragged_array(shapely.GeometryType.POLYGON, placed, (rings[: count + 1], shells))
    return np.asarray(placed_polygons, object)


@compiled
def _split_rings(
    corners: NDArray[np.float64], placed: NDArray[np.float64], turn: bool, rings: NDArray[np.int64]
) -> int:
    """Find where rings start, as ``rings[:count + 1]``, and return their count; ``turn`` them around in ``placed``."""
    count = first = 0
    for last in range(1, len(corners)):
        # No ring meets itself, so its first vertex comes again at its end only.
        if last > first and corners[last, 0] == corners[first, 0] and corners[last, 1] == corners[first, 1]:
            if turn:
                for at in range((last + 1 - first) // 2):
                    for axis in range(2):
                        one, other = placed[first + at, axis], placed[last - at, axis]
                        placed[first + at, axis], placed[last - at, axis] = other, one
            first = last + 1
            count += 1
            rings[count] = first
    return count
