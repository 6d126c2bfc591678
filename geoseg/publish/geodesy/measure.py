"""Lengths on the ground, and the ellipsoid of a CRS."""

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from geoseg.errors import SceneError

AREA_METHOD_KEY = "geoseg:area_method"
"""Key of a file's metadata: how areas and lengths were measured, ``planar`` or ``geodesic``."""

NORTH = 90 + 1e-6
"""Largest valid latitude in degrees, with a tolerance for rounding. NaN and infinity are not below it."""

MAX_EDGE_M = 10_000
"""Longer edges are split before they are measured on the ellipsoid.

An edge that is straight on the map, e.g. along a parallel, is not a geodesic. Over 10 km at 60 degrees north the two
are at most 3 m apart.
"""


def planar_perimeters(geometry: NDArray[Any], crs: CRS) -> NDArray[np.float64]:
    """Lengths of shells and holes in metres on the plane of a CRS whose axes share a unit, shape (N,)."""
    return np.asarray(shapely.length(geometry) * (metres_per_unit(crs) or 1.0))


def geodesic_perimeters(geometry: NDArray[Any], crs: CRS) -> NDArray[np.float64]:
    """Lengths of shells and holes in metres on the ellipsoid, for any CRS, shape (N,).

    Method: Karney 2013, https://doi.org/10.1007/s00190-012-0578-z.

    Raises:
        SceneError: If the CRS has no ellipsoid, or a vertex has no longitude and latitude.
    """
    crs = horizontal(crs)
    axis_m, _, radians = ellipsoid(crs)
    max_edge = MAX_EDGE_M / crs.axis_info[0].unit_conversion_factor / (axis_m if crs.is_geographic else 1)
    rings, owner = shapely.get_rings(shapely.segmentize(geometry, max_edge), return_index=True)
    coordinates, ring = shapely.get_coordinates(rings, return_index=True)
    lon, lat = np.array(to_geodetic(crs).transform(*coordinates.T)) * np.degrees(radians)
    if not (np.isfinite(lon).all() and (np.abs(lat) <= NORTH).all()):
        raise SceneError(
            f"Some polygons lie where {crs.name!r} has no longitude and latitude, so their size is unknown. "
            "Mask those pixels as nodata, or check the scene's transform."
        )
    edge = np.flatnonzero(ring[1:] == ring[:-1])
    _, _, length = crs.get_geod().inv(lon[edge], lat[edge], lon[edge + 1], lat[edge + 1])  # type: ignore[union-attr]
    return np.bincount(owner[ring[edge]], length, len(geometry)).astype(np.float64)


def ellipsoid(crs: CRS) -> tuple[float, float, float]:
    """The ellipsoid of a CRS: equatorial radius in metres, squared eccentricity, and its unit of angles in radians.

    Raises:
        SceneError: If the CRS has none.
    """
    geodetic = horizontal(crs).geodetic_crs
    geod = geodetic.get_geod() if geodetic is not None else None
    if geodetic is None or geod is None:
        raise SceneError(
            f"The CRS {crs.name!r} is tied to no place on the earth, so areas in square metres are unknown. "
            "Give the scene a projected or a geographic CRS."
        )
    return geod.a, geod.es, geodetic.axis_info[0].unit_conversion_factor


def metres_per_unit(crs: CRS) -> float | None:
    """Metres of one unit of a projected CRS whose axes share a unit; None for any other CRS."""
    crs = horizontal(crs)
    units = {axis.unit_conversion_factor for axis in crs.axis_info}
    return units.pop() if crs.is_projected and len(units) == 1 else None


def to_geodetic(crs: CRS) -> Transformer:
    """Transformation from a CRS to longitude and latitude on its own datum.

    On another datum it would depend on the installed grids.

    Raises:
        SceneError: If PROJ has none, e.g. for an unknown projection.
    """
    crs = horizontal(crs)
    try:
        return Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    except ProjError as error:
        operation = crs.coordinate_operation
        by = f" by {operation.method_name!r}" if operation else ""
        raise SceneError(
            f"PROJ has no transformation from the CRS {crs.name!r}{by} to longitude and latitude: {error} "
            "Give the scene a supported one: gdal_edit.py -a_srs CRS FILE."
        ) from error


def horizontal(crs: CRS) -> CRS:
    """The horizontal part of a CRS: x and y, without heights and without a bound transformation."""
    while crs.is_compound or crs.is_bound:
        inner = crs.sub_crs_list[0] if crs.is_compound else crs.source_crs
        if inner is None:
            break
        crs = inner
    return crs
