"""Pixels whose centre lies in an area, found by scan lines, independent of the window.

For each row, the columns are computed where edges cross the line through the centres of its pixels. A crossing depends
on the edge and the row alone, and is the same for both directions of the edge. A pixel belongs to the area if an odd
number of crossings lies to its west. A centre exactly on a boundary belongs to the area to its east, on a horizontal
boundary to the area to its south. So areas that share a boundary share no pixel and leave none out.

Source: the even-odd rule with half-open edges, Foley et al., Computer Graphics, 2nd edition, section 3.6.
"""

import numpy as np
from numpy.typing import NDArray

from geoseg.grid.window import Window

Edges = NDArray[np.float64]
"""Edges of closed rings as column and row of both ends, in pixels of the scene, shape (E, 4)."""
Runs = NDArray[np.int64]
"""Row, first column and the column after the last of runs of pixels, in raster order, not touching; shape (N, 3)."""


def find_runs(edges: Edges, window: Window) -> Runs:
    """Find the pixels of a window whose centre lies within closed rings.

    Time and memory grow with the number of edges, and with the rows that each crosses in the window.

    Args:
        edges: Of rings that do not cross each other; a ring inside another one is a hole.
        window: Any window.
    """
    col, row, col_end, row_end = _downwards(edges, window).T
    first, stop = (np.clip(_first_centre(y), window.row, window.row_stop).astype(np.int64) for y in (row, row_end))
    edge = np.repeat(np.arange(len(row)), stop - first)
    rows = np.arange(len(edge)) - np.repeat(np.cumsum(stop - first) - stop, stop - first)
    share = (rows + 0.5 - row[edge]) / (row_end - row)[edge]
    crossing = col[edge] + share * (col_end - col)[edge]
    cols = np.clip(_first_centre(crossing), window.col, window.col_stop).astype(np.int64)
    width = window.width + 1
    place, count = np.unique((rows - window.row) * width + cols - window.col, return_counts=True)
    # Two crossings between the same centres cancel out.
    start, end = place[count % 2 == 1].reshape(-1, 2).T
    return np.column_stack([start // width + window.row, start % width + window.col, end % width + window.col])


def paint(runs: Runs, window: Window) -> NDArray[np.bool_]:
    """Return True in runs of a window; shape of the window."""
    toggles = np.zeros((window.height, window.width + 1), np.bool_)
    row, start, stop = (runs - (window.row, window.col, window.col)).T
    toggles[row, start] = toggles[row, stop] = True
    mask: NDArray[np.bool_] = np.logical_xor.accumulate(toggles, axis=1)[:, :-1]
    return mask


def paint_part(runs: NDArray[np.integer], window: Window) -> NDArray[np.bool_]:
    """Return True in those pixels of a window that lie in runs; shape of the window."""
    first, stop = np.searchsorted(runs[:, 0], window.ranges[0])
    part: Runs = runs[first:stop].astype(np.int64)
    part[:, 1:] = np.clip(part[:, 1:], window.col, window.col_stop)
    return paint(part[part[:, 1] < part[:, 2]], window)


def _downwards(edges: Edges, window: Window) -> Edges:
    """The edges in the rows of a window, from their northern to their southern end."""
    down = edges[:, 1] <= edges[:, 3]
    north, south = np.minimum(edges[:, 1], edges[:, 3]), np.maximum(edges[:, 1], edges[:, 3])
    near = (south > window.row) & (north < window.row_stop)
    return np.where(down[near, None], edges[near], edges[near][:, [2, 3, 0, 1]])


def _first_centre(position: NDArray[np.float64]) -> NDArray[np.float64]:
    """Index of the first pixel on an axis whose centre is not before a position."""
    return np.ceil(position - 0.5)
