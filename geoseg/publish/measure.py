"""Areas and lengths on the ground."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Geod, Transformer
from pyproj.exceptions import ProjError

from geoseg.errors import SceneError
from geoseg.grid.window import Grid

AREA_METHOD_KEY = "geoseg:area_method"
"""Key of a file's metadata that tells how areas were measured: ``planar`` or ``geodesic``."""

STRETCHED = ("Mercator", "Popular Visualisation", "Polar Stereographic")
"""Projections whose metres are those of one parallel only; elsewhere areas are off by several per cent, or times."""

NORTH = 90 + 1e-6
"""Highest latitude in degrees, with room for rounding. NaN and infinity are not below it."""

EARTH_RADIUS_M = 6_371_000
MAX_EDGE_M = 10_000
"""Longer edges are cut before they are measured on the ellipsoid.

An edge that is straight on the map, such as a parallel, is not the shortest way. Over 10 km at 60 degrees north the two
lie 3 m apart at most, and opposite sides of a polygon cancel that.
"""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Size of each polygon; arrays of shape (N,)."""

    area_m2: NDArray[np.float64]
    """Without the holes."""
    perimeter_m: NDArray[np.float64]
    """Length of the shell and the holes."""
    method: str
    """``planar`` or ``geodesic``."""


def measure(geometry: NDArray[Any], planar_area: NDArray[np.float64], crs: CRS) -> Sizes:
    """Measure polygons.

    In a projected CRS in metres on its plane. In a geographic CRS, in a Mercator or a polar stereographic projection
    (whose metres are those of one parallel only) and in other units on the ellipsoid (Karney 2013,
    https://doi.org/10.1007/s00190-012-0578-z).

    Args:
        geometry: Polygons in ``crs``, x before y.
        planar_area: Their areas in squared units of ``crs``, as the pixels give them.
        crs: CRS of the scene.

    Raises:
        SceneError: If the CRS is tied to no ellipsoid, or a vertex to no place on it.
    """
    check_place(crs)
    if is_planar(crs):
        return Sizes(planar_area, shapely.length(geometry), "planar")
    return measure_geodesic(geometry, crs)


def check_place(crs: CRS) -> None:
    """Raise SceneError if a CRS, such as that of a building site, is tied to no place on the earth."""
    if _horizontal(crs).geodetic_crs is None:
        raise SceneError(
            f"The CRS {crs.name!r} is tied to no place on the earth, so areas in square metres are unknown. "
            "Give the scene a projected or a geographic CRS."
        )


def geodetic_way(crs: CRS) -> Transformer:
    """The way from a CRS to longitude and latitude on its own datum: one to another would depend on PROJ's grids.

    Raises:
        SceneError: If PROJ knows none, such as from a projection that it does not have.
    """
    crs = _horizontal(crs)
    try:
        return Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    except ProjError as error:
        operation = crs.coordinate_operation
        by = f" by {operation.method_name!r}" if operation else ""
        raise SceneError(
            f"PROJ knows no way from the CRS {crs.name!r}{by} to longitude and latitude: {error} "
            "Name a CRS that it knows: gdal_edit.py -a_srs EPSG:CODE FILE."
        ) from error


def _horizontal(crs: CRS) -> CRS:
    """The two axes x and y, without heights and without a transformation to WGS 84."""
    while crs.is_compound or crs.is_bound:
        inner = crs.sub_crs_list[0] if crs.is_compound else crs.source_crs
        if inner is None:
            break
        crs = inner
    return crs


def is_planar(crs: CRS) -> bool:
    """Tell whether coordinates are metres on the ground, as far as a projection allows."""
    crs = _horizontal(crs)
    operation = crs.coordinate_operation
    stretched = operation is not None and operation.method_name.startswith(STRETCHED)
    return crs.is_projected and not stretched and all(axis.unit_conversion_factor == 1 for axis in crs.axis_info)


def measure_geodesic(geometry: NDArray[Any], crs: CRS) -> Sizes:
    """Measure polygons on the ellipsoid, whatever the CRS. Arguments and errors are those of `measure`."""
    crs = _horizontal(crs)
    geodetic = crs.geodetic_crs
    geod = geodetic.get_geod() if geodetic is not None else None
    if geodetic is None or geod is None:
        raise SceneError(f"The CRS {crs.name!r} has no ellipsoid, so areas in square metres are unknown.")
    max_edge = MAX_EDGE_M / crs.axis_info[0].unit_conversion_factor / (EARTH_RADIUS_M if crs.is_geographic else 1)
    rings, owner = shapely.get_rings(shapely.segmentize(geometry, max_edge), return_index=True)
    coordinates, ring_of = shapely.get_coordinates(rings, return_index=True)
    degrees = np.degrees(geodetic.axis_info[0].unit_conversion_factor)
    lon, lat = geodetic_way(crs).transform(*coordinates.T)
    if not (np.isfinite(lon).all() and (np.abs(lat * degrees) <= NORTH).all()):
        raise SceneError(
            f"Some polygons lie where {crs.name!r} has no longitude and latitude, so their area is unknown. "
            "Mask those pixels as nodata, or check the scene's transform."
        )
    each = np.arange(len(rings))
    bounds = zip(np.searchsorted(ring_of, each), np.searchsorted(ring_of, each, "right"), strict=True)
    earth = 2 * abs(geod.polygon_area_perimeter([0, 120, 240], [0, 0, 0])[0])
    sizes = [_ring_size(geod, earth, lon[a:b] * degrees, lat[a:b] * degrees) for a, b in bounds]
    area, length = np.array(sizes, np.float64).reshape(len(rings), 2).T
    # The first ring of a polygon is its shell, the others are holes.
    area[np.diff(owner, prepend=-1) == 0] *= -1
    area_m2, perimeter_m = (np.bincount(owner, size, len(geometry)).astype(np.float64) for size in (area, length))
    return Sizes(area_m2, perimeter_m, "geodesic")


def mean_pixel_m2(grid: Grid) -> float | None:
    """Area of a pixel as `measure` has it, on the ellipsoid the mean of the middle column; None off the earth."""
    if not grid.crs:
        return None
    crs = CRS.from_wkt(grid.crs)
    if is_planar(crs):
        return grid.pixel_area
    a, b, c, d, e, f = grid.transform
    col, height = grid.width // 2, grid.height
    corners = [(col, 0), (col + 1, 0), (col + 1, height), (col, height)]
    column = shapely.Polygon([(a * x + b * y + c, d * x + e * y + f) for x, y in corners])
    try:
        return float(measure_geodesic(np.array([column]), crs).area_m2[0]) / height or None
    except SceneError:
        return None


def _ring_size(geod: Geod, earth: float, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> tuple[float, float]:
    """Size of a closed ring in degrees, whatever way it turns.

    Returns:
        Area in square metres and length in metres.
    """
    area, length = geod.polygon_area_perimeter(lon, lat)
    steps = np.radians(np.diff(np.unwrap(lon, period=360)))
    if abs(steps.sum()) < np.pi:
        # Geod takes the smaller side of a ring, so the oceans of the world would be the land. A sphere tells the side.
        heights = np.sin(np.radians(lat))
        sphere = -(EARTH_RADIUS_M**2) * np.sum(steps * (heights[1:] + heights[:-1])) / 2
        area += earth * round((sphere - area) / earth)
    return abs(area), length
