"""Check that polygons cover each valid pixel of a class map once, without comparing pairs of polygons.

In a coverage every edge occurs twice, once in each direction and with identical coordinates. Edges beside nodata occur
once. So remove all pairs of opposite edges. If exactly the pixel sides between valid pixels and nodata remain, once
each and with the valid pixel on the left, then polygons and valid pixels have the same boundary, and there is no gap
and no overlap. If a polygon lacks the vertex of a T-junction, its edge has no partner and remains.

The edges can be added in portions. The unpaired edges are always the boundary of the polygons so far.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

Edges = NDArray[np.float64]
"""Directed edges ``x0, y0, x1, y1``, float64 of shape (E, 4); the polygon is on the left."""

MAX_OFFSET_PX = 1e-3
"""Largest distance of a vertex from a pixel's corner. Projecting a point to another CRS and back moves it far less."""

MAX_DISPLACEMENT_PX = 0.1
"""Largest distance of the middle of an edge from the straight line between its ends in pixel space."""

ToPixel = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Maps x, y of the published CRS to column, row of the class map; both of shape (V, 2)."""


def polygon_edges(polygons: NDArray[Any]) -> Edges:
    """Edges of all rings of polygons whose shells are counter-clockwise and whose holes clockwise."""
    vertices, ring = shapely.get_coordinates(shapely.get_rings(polygons), return_index=True)
    # Turn -0.0 into 0.0: they are equal, but sort and print differently.
    edges = np.hstack([vertices[:-1], vertices[1:]]) + 0.0
    return np.asarray(edges[(ring[:-1] == ring[1:]) & (edges[:, :2] != edges[:, 2:]).any(axis=1)])


def cancel(edges: Edges) -> Edges:
    """Remove pairs of opposite edges. The order of the remaining edges is arbitrary but fixed."""
    if not len(edges):
        return edges
    x0, y0, x1, y1 = edges.T
    turned = (x0 > x1) | ((x0 == x1) & (y0 > y1))
    ends = np.where(turned[:, None], edges[:, [2, 3, 0, 1]], edges)
    order = np.lexsort(ends.T)
    ends = ends[order]
    starts = np.flatnonzero(np.append(True, (ends[1:] != ends[:-1]).any(axis=1)))
    net = np.add.reduceat(np.where(turned[order], -1, 1), starts)
    ends = np.where(net[:, None] < 0, ends[starts][:, [2, 3, 0, 1]], ends[starts])
    return np.repeat(ends, np.abs(net), axis=0)


def displaced_edges(edges: Edges, to_pixel: ToPixel) -> Edges:
    """Edges that are straight in the CRS of the polygons, but too far from straight in pixel space."""
    start, end = edges[:, :2], edges[:, 2:]
    first, middle, last = (to_pixel(points) for points in (start, (start + end) / 2, end))
    along, beside = last - first, middle - first
    offset = np.abs(along[:, 0] * beside[:, 1] - along[:, 1] * beside[:, 0])
    # `not <=` instead of `>`, so that NaN (no inverse projection) counts.
    return np.asarray(edges[~(offset <= MAX_DISPLACEMENT_PX * np.hypot(*along.T))])


@dataclass(frozen=True, slots=True)
class Outline:
    """Unpaired edges in the pixel space of a class map."""

    vertical: NDArray[np.int64]
    """``column, first row, row stop, direction`` of edges along columns, shape (V, 4); 1 is south, -1 north."""
    horizontal: NDArray[np.int64]
    """``row, first column, column stop, direction`` of edges along rows, shape (H, 4); 1 is east, -1 west."""
    elsewhere: Edges
    """Edges that are not sides of pixels, in the CRS of the polygons."""

    @classmethod
    def of(cls, edges: Edges, shape: tuple[int, int], to_pixel: ToPixel) -> "Outline":
        """Divide unpaired edges into vertical sides, horizontal sides and others.

        Args:
            edges: Result of `cancel` for all polygons.
            shape: Height and width of the class map.
            to_pixel: From the CRS of the polygons to pixel space.
        """
        ends = to_pixel(edges.reshape(-1, 2)).reshape(-1, 4)
        limit = np.array([shape[1], shape[0]] * 2) + 0.5
        # -0.5 is no pixel corner, so edges outside the class map become others.
        ends = np.where((ends > -0.5) & (ends < limit), ends, -0.5)
        # Transform and CRS may mirror the polygons. The area of the polygons is positive, so its sign tells.
        turn = -1 if np.sum(ends[:, 0] * ends[:, 3] - ends[:, 2] * ends[:, 1]) < 0 else 1
        corners = np.rint(ends).astype(np.int64)
        col, row, col_stop, row_stop = corners.T
        exact = (np.abs(ends - corners) <= MAX_OFFSET_PX).all(axis=1)
        upright, level = exact & (col == col_stop), exact & (row == row_stop)
        return cls(
            _sides(col, row, row_stop, turn)[upright & ~level],
            _sides(row, col, col_stop, turn)[level & ~upright],
            edges[upright == level],
        )

    def faults(self, inside: NDArray[np.bool_], above: NDArray[np.bool_], first_row: int) -> NDArray[np.int64]:
        """Find pixel sides that differ: on the boundary of ``inside`` and not once in the outline, or the reverse.

        Args:
            inside: Valid pixels of whole rows of the class map, shape (H, W).
            above: The row of pixels above, shape (W,).
            first_row: First row of ``inside`` in the class map.

        Returns:
            Row and column of the pixel south or east of each such side, shape (N, 2).
        """
        height, width = inside.shape
        wide = np.pad(inside, ((0, 0), (1, 1)))
        west, east = wide[:, :-1], wide[:, 1:]
        north = np.vstack([above, inside[:-1]])
        differences = [np.empty((0, 2), np.int64)]
        for direction, here, there in ((1, west, east), (-1, east, west)):
            sides = self.vertical[self.vertical[:, 3] == direction]
            start, stop = (np.clip(sides[:, i] - first_row, 0, height) for i in (1, 2))
            drawn = np.zeros((height + 1, width + 1), np.int32)
            np.add.at(drawn, (start, sides[:, 0]), 1)
            np.add.at(drawn, (stop, sides[:, 0]), -1)
            differences.append(np.argwhere(np.cumsum(drawn, axis=0, out=drawn)[:-1] != (here & ~there)))
        for direction, here, there in ((1, inside, north), (-1, north, inside)):
            sides = self.horizontal[self.horizontal[:, 3] == direction]
            sides = sides[(sides[:, 0] >= first_row) & (sides[:, 0] < first_row + height)]
            drawn = np.zeros((height, width + 1), np.int32)
            np.add.at(drawn, (sides[:, 0] - first_row, sides[:, 1]), 1)
            np.add.at(drawn, (sides[:, 0] - first_row, sides[:, 2]), -1)
            differences.append(np.argwhere(np.cumsum(drawn, axis=1, out=drawn)[:, :-1] != (here & ~there)))
        return np.asarray(np.concatenate(differences) + np.array([first_row, 0]))


def _sides(line: NDArray[np.int64], start: NDArray[np.int64], stop: NDArray[np.int64], turn: int) -> NDArray[np.int64]:
    """Rows of `Outline.vertical` or `Outline.horizontal`."""
    return np.column_stack([line, np.minimum(start, stop), np.maximum(start, stop), np.sign(stop - start) * turn])
