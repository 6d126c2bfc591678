"""Polygons of a scene in another CRS, where their edges are curves.

Only vertices can be moved. A straight edge of the scene is a curve elsewhere, so points are inserted on long edges
until each piece lies close enough to its curve. Which ones depends on the edge alone, not on the polygon and not on the
direction it is walked in: two neighbours get the same points, and a coverage stays one.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.enums import TransformDirection

from geoseg.errors import SceneError
from geoseg.grid.window import Grid
from geoseg.publish.geodesy.crs import transformer
from geoseg.publish.geodesy.longitude import western_longitude

MAX_OFFSET_PX = 0.09
"""Farthest that quarters of a published edge lie from its true curve, in pixels of the scene; below 0.1 everywhere."""
SHARE_OF_GAP = 0.5
"""Vertices lie on half pixels, so none that is not on an edge of L pixels lies nearer to it than 1 / (4 L). Slanted
edges leave their place by this share of that at most, so that edges which do not meet in the scene meet nowhere."""
PROBES = 9
"""Points along a side of the scene at which it is seen how much edges bend."""
SAFETY = 0.5
"""Edges are looked at from this share of the length on that could leave its place where most bends."""
FEW_PX = 4
"""Where edges of this length may bend, all are looked at."""
MIN_PIECE_PX = 0.25
"""Shorter pieces of slanted edges are not cut."""

Points = NDArray[np.float64]
"""Shape (N, 2): column and row of a pixel's corner, or x and y."""


def reproject(geometry: NDArray[Any], grid: Grid, target: str) -> NDArray[Any]:
    """Move polygons into another CRS, x before y; beyond the antimeridian longitudes go on, see `longitude`.

    Args:
        geometry: Polygons where the scene's transform places them, with vertices on half pixels.
        grid: The scene's frame.
        target: CRS of the result as WKT.

    Returns:
        Polygons whose edges lie within 0.1 pixels of where the scene's lie. Along rows and columns of pixels only
        corners of pixels are inserted.

    Raises:
        SceneError: If a vertex has no place there, or the scene holds a pole and the CRS has longitudes.
    """
    if not len(geometry):
        return geometry
    way = _way(grid, target)
    _, xy, (rings, polygons) = shapely.to_ragged_array(geometry)
    after, inserted = _cut(way, xy, rings)
    # A vertex moves back by the number of points inserted before it.
    rings = rings + np.searchsorted(after, rings, "right")
    moved = way.move(np.insert(xy, after, grid.to_crs(inserted), axis=0))
    if not np.isfinite(moved).all():
        raise SceneError(
            f"Polygons of the scene ({CRS.from_wkt(grid.crs).name}) reach beyond where {CRS.from_wkt(target).name} is "
            "defined. Use polygons.crs=native or a CRS that holds the whole scene."
        )
    return np.asarray(shapely.from_ragged_array(shapely.GeometryType.POLYGON, moved, (rings, polygons)))


@dataclass(frozen=True, slots=True, eq=False)
class _Way:
    """From the pixels of a scene to another CRS and back."""

    grid: Grid
    transformer: Transformer
    west: float | None
    """Longitudes that are less are raised by 360 degrees; None raises none."""

    def move(self, xy: Points) -> Points:
        """The scene's CRS to the other; infinite where there is no place."""
        x, y = self.transformer.transform(*xy.T)
        return np.column_stack([x if self.west is None else np.where(x < self.west, x + 360, x), y])

    def offset_px(self, start: Points, end: Points) -> NDArray[np.float64]:
        """How far straight edges of the other CRS lie from those between the same pixels; NaN if that is unknown."""
        there, then = (_known(self.move(self.grid.to_crs(points))) for points in (start, end))
        along = end - start
        length, farthest = np.hypot(*along.T), np.zeros(len(start))
        for share in (0.25, 0.5, 0.75):
            x, y = (there + share * (then - there)).T
            xy = self.transformer.transform(x, y, direction=TransformDirection.INVERSE)
            beside = self.grid.to_pixel(_known(np.column_stack(xy))) - start
            farthest = np.maximum(farthest, np.abs(along[:, 0] * beside[:, 1] - along[:, 1] * beside[:, 0]) / length)
        return farthest


def _known(points: Points) -> Points:
    """NaN instead of infinity, with which one cannot reckon."""
    return np.where(np.isfinite(points), points, np.nan)


@lru_cache(maxsize=16)
def _way(grid: Grid, target: str) -> _Way:
    way = transformer(CRS.from_wkt(grid.crs), CRS.from_wkt(target))
    return _Way(grid, way, western_longitude(grid, target))


@lru_cache(maxsize=16)
def _straight_px(way: _Way) -> tuple[float, float]:
    """Lengths in pixels below which no edge is cut: of edges along rows and columns, and of slanted ones."""
    size = np.array([way.grid.width, way.grid.height], np.float64)
    side = max(size.max() / (PROBES - 1), 1.0)
    middle = np.stack(np.meshgrid(*(np.linspace(0, length, PROBES) for length in size)), axis=-1).reshape(-1, 2)
    half = side / 2 * np.array([(1.0, 0.0), (0.0, 1.0), (0.7, 0.7), (0.7, -0.7)])
    starts, ends = (np.clip(middle[:, None] + sign * half, 0, size).reshape(-1, 2) for sign in (-1, 1))
    offset = way.offset_px(starts, ends)
    if not np.isfinite(offset).all():
        return 1.0, MIN_PIECE_PX
    # The offset of a circular arc grows with the square of its length.
    bend = 8 * max(float((offset / np.hypot(*(ends - starts).T) ** 2).max()), 1e-15)
    level = SAFETY * (8 * MAX_OFFSET_PX / bend) ** 0.5
    slanted = min(level, SAFETY * (2 * SHARE_OF_GAP / bend) ** (1 / 3))
    return level if level >= FEW_PX else 1.0, slanted if slanted >= FEW_PX else MIN_PIECE_PX


def _cut(way: _Way, xy: Points, rings: NDArray[np.int64]) -> tuple[NDArray[np.int64], Points]:
    """Find the points to be inserted.

    Args:
        way: To the other CRS.
        xy: Vertices of all rings in the scene's CRS, shape (V, 2).
        rings: Index of the first vertex of each ring, and V.

    Returns:
        Index of the vertex that each point stands before, ascending, shape (I,); the points in pixels, shape (I, 2).
    """
    pixel = way.grid.to_pixel(xy)
    is_edge = np.ones(len(xy), bool)
    is_edge[rings[1:] - 1] = False
    pixel = np.rint(2 * pixel) / 2
    along = np.abs(pixel[1:] - pixel[:-1])
    straight = np.where((along == 0).any(axis=1), *_straight_px(way))
    first = np.flatnonzero(is_edge[:-1] & (np.hypot(*along.T) > straight))
    start, end = pixel[first], pixel[first + 1]
    # From west to east, or from north to south, whatever way the ring turns.
    back = (start[:, 0] > end[:, 0]) | ((start[:, 0] == end[:, 0]) & (start[:, 1] > end[:, 1]))
    start, end = np.where(back[:, None], end, start), np.where(back[:, None], start, end)
    length = np.hypot(*(end - start).T)
    level = (start == end).any(axis=1)
    limit = np.where(level, MAX_OFFSET_PX, np.minimum(MAX_OFFSET_PX, SHARE_OF_GAP / 4 / np.maximum(length, 1)))
    edge = np.arange(len(first))
    points, owners = [np.empty((0, 2))], [np.empty(0, np.int64)]
    while len(edge):
        length = np.hypot(*(end - start).T)
        long = length > np.where(level[edge], 1, MIN_PIECE_PX)
        bent = long.copy()
        bent[long] = way.offset_px(start[long], end[long]) > limit[edge[long]]
        edge, start, end = edge[bent], start[bent], end[bent]
        middle = (start + end) / 2
        middle = np.where(level[edge][:, None] & (start != end), np.floor(middle), middle)
        points.append(middle)
        owners.append(edge)
        edge, start, end = np.tile(edge, 2), np.concatenate([start, middle]), np.concatenate([middle, end])
    inserted, owner = np.concatenate(points), np.concatenate(owners)
    sign = np.where(back[owner], -1, 1)
    order = np.lexsort((sign * inserted[:, 1], sign * inserted[:, 0], owner))
    return first[owner[order]] + 1, inserted[order]
