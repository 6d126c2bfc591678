"""Longitudes of scenes that cross the antimeridian."""

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
    """Find the smallest longitude of a scene that crosses the antimeridian.

    Smaller longitudes of its polygons are increased by 360 degrees, so they continue beyond 180 and no polygon is split
    or inverted.

    Args:
        grid: The scene's grid.
        target: CRS of the polygons, in any form that pyproj accepts.

    Returns:
        A longitude in degrees in the middle of the range that the scene does not cover; None if the scene does not
        cross the antimeridian or the CRS is not geographic.

    Raises:
        SceneError: If a pole lies in the scene, so that it covers all longitudes.
    """
    crs = CRS.from_user_input(target)
    if not crs.is_geographic:
        return None
    lon = _border_longitudes(grid, crs)
    lon = np.unwrap(lon[np.isfinite(lon)], period=360)
    if not lon.size:
        return None
    if abs(lon[-1] - lon[0]) > 180:
        raise SceneError(
            f"The scene contains a pole, so its polygons cannot be published in {crs.name}. Use polygons.crs=native, "
            "or a polar CRS such as EPSG:3413 or EPSG:3031."
        )
    west = (lon.min() + 180) % 360 - 180
    east = west + lon.max() - lon.min()
    crosses = east > 180 + EPSILON_DEGREES and not CRS.from_wkt(grid.crs).is_geographic
    return float(west - (360 - (east - west)) / 2) if crosses else None


def _border_longitudes(grid: Grid, target: CRS) -> NDArray[np.float64]:
    """Longitude of points along the border of the scene, once around."""
    along = np.linspace(0, 1, POINTS_A_SIDE, endpoint=False)
    zero, one = np.zeros_like(along), np.ones_like(along)
    col = np.concatenate([along, one, 1 - along, zero, [0]]) * grid.width
    row = np.concatenate([zero, along, one, 1 - along, [0]]) * grid.height
    x, y = grid.to_crs(np.column_stack([col, row])).T
    lon, _ = transformer(CRS.from_wkt(grid.crs), target).transform(x, y)
    return np.asarray(lon, np.float64)
