"""Prove that polygons cover the valid pixels of a class map once each, without looking at two polygons at a time.

In a coverage every edge occurs twice, once in each direction and with the same coordinates to the last bit, but for the
edges beside nodata, which occur once. So take away what occurs in both directions. If exactly the sides of valid pixels
beside nodata remain, drawn once each and with the valid pixel on their left, the polygons and the valid pixels have the
same boundary, and each point is in as many polygons as it is in valid pixels: there is no gap and no overlap. A side
that lacks the vertex of a T-junction has no partner, and remains where no nodata is.

The edges can come in any portions. What waits for its partner is the boundary of what has come so far.
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
"""A vertex farther from a pixel's corner is not that corner. Projecting there and back moves it far less."""

MAX_BEND_PX = 0.1
"""Farthest that the middle of an edge may lie from the straight line between its ends in the scene."""

ToPixel = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Maps x, y of the published CRS to column, row of the class map; both of shape (V, 2)."""


def polygon_edges(polygons: NDArray[Any]) -> Edges:
    """Edges of all rings of polygons whose shells are counter-clockwise and whose holes clockwise."""
    vertices, ring = shapely.get_coordinates(shapely.get_rings(polygons), return_index=True)
    # Minus zero equals zero but sorts and prints otherwise.
    edges = np.hstack([vertices[:-1], vertices[1:]]) + 0.0
    return np.asarray(edges[(ring[:-1] == ring[1:]) & (edges[:, :2] != edges[:, 2:]).any(axis=1)])


def cancel(edges: Edges) -> Edges:
    """Remove pairs of opposite edges; what remains is in an order of its own."""
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


def bent_edges(edges: Edges, to_pixel: ToPixel) -> Edges:
    """Edges that leave the place of the scene's: straight in the CRS of the polygons, but not in the scene."""
    start, end = edges[:, :2], edges[:, 2:]
    first, middle, last = (to_pixel(points) for points in (start, (start + end) / 2, end))
    along, beside = last - first, middle - first
    offset = np.abs(along[:, 0] * beside[:, 1] - along[:, 1] * beside[:, 0])
    # Written so that NaN, where there is no way back, counts.
    return np.asarray(edges[~(offset <= MAX_BEND_PX * np.hypot(*along.T))])


@dataclass(frozen=True, slots=True)
class Outline:
    """Edges without a partner, in the pixels of a class map."""

    vertical: NDArray[np.int64]
    """``column, first row, row behind, direction`` of edges along columns, shape (V, 4); 1 is south, -1 north."""
    horizontal: NDArray[np.int64]
    """``row, first column, column behind, direction`` of edges along rows, shape (H, 4); 1 is east, -1 west."""
    elsewhere: Edges
    """Edges that are not sides of pixels, in the CRS of the polygons."""

    @classmethod
    def of(cls, edges: Edges, shape: tuple[int, int], to_pixel: ToPixel) -> "Outline":
        """Sort edges without a partner by where they lie.

        Args:
            edges: What `cancel` left of all polygons.
            shape: Height and width of the class map.
            to_pixel: The way back to the pixels.
        """
        ends = to_pixel(edges.reshape(-1, 2)).reshape(-1, 4)
        limit = np.array([shape[1], shape[0]] * 2) + 0.5
        # Half a pixel is no corner: what lies outside the class map goes elsewhere.
        ends = np.where((ends > -0.5) & (ends < limit), ends, -0.5)
        # Whether a left turn stays one is up to the transform and the CRS; the area of polygons is positive.
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
        """Find sides of pixels that should be in the outline and are not there once, or should not and are.

        Args:
            inside: Pixels that polygons cover, shape (H, W): whole rows of the class map.
            above: The row of pixels before them, shape (W,).
            first_row: Row of the class map that ``inside`` starts with.

        Returns:
            Row and column of the pixel south or east of each such side, shape (N, 2).
        """
        height, width = inside.shape
        wide = np.pad(inside, ((0, 0), (1, 1)))
        west, east = wide[:, :-1], wide[:, 1:]
        north = np.vstack([above, inside[:-1]])
        found = [np.empty((0, 2), np.int64)]
        for direction, here, there in ((1, west, east), (-1, east, west)):
            sides = self.vertical[self.vertical[:, 3] == direction]
            start, stop = (np.clip(sides[:, i] - first_row, 0, height) for i in (1, 2))
            drawn = np.zeros((height + 1, width + 1), np.int32)
            np.add.at(drawn, (start, sides[:, 0]), 1)
            np.add.at(drawn, (stop, sides[:, 0]), -1)
            found.append(np.argwhere(np.cumsum(drawn, axis=0, out=drawn)[:-1] != (here & ~there)))
        for direction, here, there in ((1, inside, north), (-1, north, inside)):
            sides = self.horizontal[self.horizontal[:, 3] == direction]
            sides = sides[(sides[:, 0] >= first_row) & (sides[:, 0] < first_row + height)]
            drawn = np.zeros((height, width + 1), np.int32)
            np.add.at(drawn, (sides[:, 0] - first_row, sides[:, 1]), 1)
            np.add.at(drawn, (sides[:, 0] - first_row, sides[:, 2]), -1)
            found.append(np.argwhere(np.cumsum(drawn, axis=1, out=drawn)[:, :-1] != (here & ~there)))
        return np.asarray(np.concatenate(found) + np.array([first_row, 0]))


def _sides(line: NDArray[np.int64], start: NDArray[np.int64], stop: NDArray[np.int64], turn: int) -> NDArray[np.int64]:
    """Rows of `Outline.vertical` or `Outline.horizontal`."""
    return np.column_stack([line, np.minimum(start, stop), np.maximum(start, stop), np.sign(stop - start) * turn])
