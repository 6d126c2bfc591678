"""Scenes that cross the antimeridian, published in degrees."""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

from geoseg.errors import SceneError
from geoseg.grid.window import Grid
from geoseg.publish.geodesy.crs import transformer

POINTS_A_SIDE = 64
EPSILON_DEGREES = 1e-6


@cache
def western_longitude(grid: Grid, target: str) -> float | None:
    """Tell from where on longitudes count as east of the antimeridian in a scene that crosses it.

    Longitudes of its polygons go on beyond 180 degrees: those that are less are raised by 360, so that no polygon is
    torn or turned inside out.

    Args:
        grid: The scene's frame.
        target: CRS of the polygons, as anything that pyproj reads.

    Returns:
        A longitude in the middle of those that the scene does not reach, in degrees; None if the scene does not cross
        the antimeridian, or the CRS has no longitudes.

    Raises:
        SceneError: If a pole lies in the scene, so that longitudes run all around it.
    """
    crs = CRS.from_user_input(target)
    if not crs.is_geographic:
        return None
    lon = _rim_longitudes(grid, crs)
    lon = np.unwrap(lon[np.isfinite(lon)], period=360)
    if not lon.size:
        return None
    if abs(lon[-1] - lon[0]) > 180:
        raise SceneError(
            f"The scene holds a pole, so its polygons cannot be published in {crs.name}. Use polygons.crs=native, or a "
            "polar CRS such as EPSG:3413 or EPSG:3031."
        )
    west = (lon.min() + 180) % 360 - 180
    east = west + lon.max() - lon.min()
    crosses = east > 180 + EPSILON_DEGREES and not CRS.from_wkt(grid.crs).is_geographic
    return float(west - (360 - (east - west)) / 2) if crosses else None


def _rim_longitudes(grid: Grid, target: CRS) -> NDArray[np.float64]:
    """Longitude of points along the scene's rim, once around."""
    along = np.linspace(0, 1, POINTS_A_SIDE, endpoint=False)
    zero, one = np.zeros_like(along), np.ones_like(along)
    col = np.concatenate([along, one, 1 - along, zero, [0]]) * grid.width
    row = np.concatenate([zero, along, one, 1 - along, [0]]) * grid.height
    x, y = grid.to_crs(np.column_stack([col, row])).T
    lon, _ = transformer(CRS.from_wkt(grid.crs), target).transform(x, y)
    return np.asarray(lon, np.float64)
