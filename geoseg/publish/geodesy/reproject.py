"""Reproject polygons to another CRS, where straight edges become curves.

Only vertices are transformed. So points are inserted on long edges until each piece is close enough to its curve. The
points depend only on the edge, not on the polygon or the direction of the ring: two neighbours get the same points, and
a coverage stays a coverage.
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
"""Largest distance of the quarter points of an edge from its true curve, in pixels; elsewhere it is below 0.1."""
SHARE_OF_GAP = 0.5
"""Vertices lie on half pixels, so a vertex that is not on an edge of L pixels is at least 1 / (4 L) away from it.
Slanted edges move by at most this share of that distance, so edges that do not touch in the scene never touch."""
PROBES = 9
"""Sample points along each side of the scene where the curvature of edges is measured."""
SAFETY = 0.5
"""Edges longer than this share of the shortest length that could exceed its limit are tested."""
FEW_PX = 4
"""If edges of this length could exceed their limit, all edges are tested."""
MIN_PIECE_PX = 0.25
"""Shorter pieces of slanted edges are not split."""

Points = NDArray[np.float64]
"""Shape (N, 2): column and row of a pixel's corner, or x and y."""


def reproject(geometry: NDArray[Any], grid: Grid, target: str) -> NDArray[Any]:
    """Reproject polygons, x before y; longitudes continue beyond the antimeridian, see `longitude`.

    Args:
        geometry: Polygons in the scene's CRS coordinates, with vertices on half pixels.
        grid: The scene's grid.
        target: CRS of the result as WKT.

    Returns:
        Polygons whose edges are within 0.1 pixels of the scene's edges. Along rows and columns of pixels only corners
        of pixels are inserted.

    Raises:
        SceneError: If a vertex is outside the CRS, or the scene contains a pole and the CRS is geographic.
    """
    if not len(geometry):
        return geometry
    mapping = _mapping(grid, target)
    _, xy, (rings, polygons) = shapely.to_ragged_array(geometry)
    after, inserted = _insert_points(mapping, xy, rings)
    # The index of a vertex grows by the number of points inserted before it.
    rings = rings + np.searchsorted(after, rings, "right")
    moved = mapping.move(np.insert(xy, after, grid.to_crs(inserted), axis=0))
    if not np.isfinite(moved).all():
        raise SceneError(
            f"Polygons of the scene ({CRS.from_wkt(grid.crs).name}) reach beyond where {CRS.from_wkt(target).name} is "
            "defined. Use polygons.crs=native or a CRS that holds the whole scene."
        )
    return np.asarray(shapely.from_ragged_array(shapely.GeometryType.POLYGON, moved, (rings, polygons)))


@dataclass(frozen=True, slots=True, eq=False)
class _Mapping:
    """Transformation between the pixels of a scene and another CRS."""

    grid: Grid
    transformer: Transformer
    west: float | None
    """Smaller longitudes are increased by 360 degrees; None changes none."""

    def move(self, xy: Points) -> Points:
        """Transform from the scene's CRS to the other; infinite outside the other CRS."""
        x, y = self.transformer.transform(*xy.T)
        return np.column_stack([x if self.west is None else np.where(x < self.west, x + 360, x), y])

    def offset_px(self, start: Points, end: Points) -> NDArray[np.float64]:
        """Distance in pixels between straight edges in the other CRS and in the scene; NaN if unknown."""
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
    """Replace infinity by NaN, so that differences are NaN without a warning."""
    return np.where(np.isfinite(points), points, np.nan)


@lru_cache(maxsize=16)
def _mapping(grid: Grid, target: str) -> _Mapping:
    to_target = transformer(CRS.from_wkt(grid.crs), CRS.from_wkt(target))
    return _Mapping(grid, to_target, western_longitude(grid, target))


@lru_cache(maxsize=16)
def _straight_px(mapping: _Mapping) -> tuple[float, float]:
    """Lengths in pixels below which no edge is split: of edges along rows and columns, and of slanted edges."""
    size = np.array([mapping.grid.width, mapping.grid.height], np.float64)
    side = max(size.max() / (PROBES - 1), 1.0)
    middle = np.stack(np.meshgrid(*(np.linspace(0, length, PROBES) for length in size)), axis=-1).reshape(-1, 2)
    half = side / 2 * np.array([(1.0, 0.0), (0.0, 1.0), (0.7, 0.7), (0.7, -0.7)])
    starts, ends = (np.clip(middle[:, None] + sign * half, 0, size).reshape(-1, 2) for sign in (-1, 1))
    offset = mapping.offset_px(starts, ends)
    if not np.isfinite(offset).all():
        return 1.0, MIN_PIECE_PX
    # The offset of a circular arc grows with the square of its length.
    bend = 8 * max(float((offset / np.hypot(*(ends - starts).T) ** 2).max()), 1e-15)
    level = SAFETY * (8 * MAX_OFFSET_PX / bend) ** 0.5
    slanted = min(level, SAFETY * (2 * SHARE_OF_GAP / bend) ** (1 / 3))
    return level if level >= FEW_PX else 1.0, slanted if slanted >= FEW_PX else MIN_PIECE_PX


def _insert_points(mapping: _Mapping, xy: Points, rings: NDArray[np.int64]) -> tuple[NDArray[np.int64], Points]:
    """Find the points to insert.

    Args:
        mapping: To the other CRS.
        xy: Vertices of all rings in the scene's CRS, shape (V, 2).
        rings: Index of the first vertex of each ring, and V.

    Returns:
        Index of the vertex before which each point is inserted, ascending, shape (I,); the points in pixels, (I, 2).
    """
    pixel = mapping.grid.to_pixel(xy)
    is_edge = np.ones(len(xy), bool)
    is_edge[rings[1:] - 1] = False
    pixel = np.rint(2 * pixel) / 2
    along = np.abs(pixel[1:] - pixel[:-1])
    straight = np.where((along == 0).any(axis=1), *_straight_px(mapping))
    first = np.flatnonzero(is_edge[:-1] & (np.hypot(*along.T) > straight))
    start, end = pixel[first], pixel[first + 1]
    # Always from west to east, or from north to south, independent of the direction of the ring.
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
        bent[long] = mapping.offset_px(start[long], end[long]) > limit[edge[long]]
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
