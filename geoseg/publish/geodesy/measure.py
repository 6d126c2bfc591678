"""Lengths on the ground, and where a CRS lies on it."""

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from geoseg.errors import SceneError

AREA_METHOD_KEY = "geoseg:area_method"
"""Key of a file's metadata that tells how areas and lengths were measured: ``planar`` or ``geodesic``."""

NORTH = 90 + 1e-6
"""Highest latitude in degrees, with room for rounding. NaN and infinity are not below it."""

MAX_EDGE_M = 10_000
"""Longer edges are cut before they are measured on the ellipsoid.

An edge that is straight on the map, such as a parallel, is not the shortest way. Over 10 km at 60 degrees north the two
lie 3 m apart at most.
"""


def planar_perimeters(geometry: NDArray[Any], crs: CRS) -> NDArray[np.float64]:
    """Lengths of shells and holes in metres on the plane of a CRS whose axes share a unit, shape (N,)."""
    return np.asarray(shapely.length(geometry) * (metres_per_unit(crs) or 1.0))


def geodesic_perimeters(geometry: NDArray[Any], crs: CRS) -> NDArray[np.float64]:
    """Lengths of shells and holes in metres on the ellipsoid, whatever the CRS, shape (N,).

    By Karney 2013, https://doi.org/10.1007/s00190-012-0578-z.

    Raises:
        SceneError: If the CRS is tied to no ellipsoid, or a vertex to no place on it.
    """
    crs = horizontal(crs)
    axis_m, _, radians = ellipsoid(crs)
    max_edge = MAX_EDGE_M / crs.axis_info[0].unit_conversion_factor / (axis_m if crs.is_geographic else 1)
    rings, owner = shapely.get_rings(shapely.segmentize(geometry, max_edge), return_index=True)
    coordinates, ring = shapely.get_coordinates(rings, return_index=True)
    lon, lat = np.array(geodetic_way(crs).transform(*coordinates.T)) * np.degrees(radians)
    if not (np.isfinite(lon).all() and (np.abs(lat) <= NORTH).all()):
        raise SceneError(
            f"Some polygons lie where {crs.name!r} has no longitude and latitude, so their size is unknown. "
            "Mask those pixels as nodata, or check the scene's transform."
        )
    edge = np.flatnonzero(ring[1:] == ring[:-1])
    _, _, length = crs.get_geod().inv(lon[edge], lat[edge], lon[edge + 1], lat[edge + 1])  # type: ignore[union-attr]
    return np.bincount(owner[ring[edge]], length, len(geometry)).astype(np.float64)


def check_place(crs: CRS) -> None:
    """Raise SceneError if a CRS, such as that of a building site, is tied to no place on the earth."""
    ellipsoid(crs)


def ellipsoid(crs: CRS) -> tuple[float, float, float]:
    """The ellipsoid of a CRS: equatorial radius in metres, squared eccentricity, and its unit of angles in radians.

    Raises:
        SceneError: If the CRS is tied to none.
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
    """Metres that a unit of both axes of a projected CRS stands for; None for any other CRS."""
    crs = horizontal(crs)
    units = {axis.unit_conversion_factor for axis in crs.axis_info}
    return units.pop() if crs.is_projected and len(units) == 1 else None


def geodetic_way(crs: CRS) -> Transformer:
    """The way from a CRS to longitude and latitude on its own datum: one to another would depend on PROJ's grids.

    Raises:
        SceneError: If PROJ knows none, such as from a projection that it does not have.
    """
    crs = horizontal(crs)
    try:
        return Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    except ProjError as error:
        operation = crs.coordinate_operation
        by = f" by {operation.method_name!r}" if operation else ""
        raise SceneError(
            f"PROJ knows no way from the CRS {crs.name!r}{by} to longitude and latitude: {error} "
            "Give the scene one that it knows: gdal_edit.py -a_srs CRS FILE."
        ) from error


def horizontal(crs: CRS) -> CRS:
    """The two axes x and y, without heights and without a transformation to WGS 84."""
    while crs.is_compound or crs.is_bound:
        inner = crs.sub_crs_list[0] if crs.is_compound else crs.source_crs
        if inner is None:
            break
        crs = inner
    return crs
