"""Draw arcs as people would: with the fewest segments within a bound of the pixel edges, and so that no two touch.

An arc starts as the line through the *middles* of its pixel edges instead of the corners; its ends, where arcs meet,
stay on corners. Of all polylines over vertices of that line the one with the fewest segments is taken, and of those the
one with the least sum of squared distances. A segment may pass over vertices only if each lies within the *guard* of
it, and if the region between holds no vertex of any other start line, nor of its own outside the passed part.

No two lines cross, whatever the order. Let P be the passed part of a start line and s its segment. Suppose segments s
and t of two parts P and Q cross. A straight t crosses s once, so it enters the region of s; having no end in it, it
leaves through P. So an edge of P enters the region of t; having no end in it, it leaves through t, which a straight
line cannot twice, or through Q, but start lines do not cross.

Up to a guard of half a pixel no region can hold such a vertex, so none is looked for. A point p of a region lies
between s and a point of P across, or within the guard of an end of s, so it is nearer to P than the guard, or at most
as far if it lies on s. But no foreign vertex is nearer to a start line than half a pixel: another middle of an edge is
0.71 px away, or it lies across a corner of a straight run, which would be a node then; a node is an end of the arc,
or at least half a pixel away. At just half a pixel there are, beside an end of the line, the first middles of other
arcs, and beside its first middle that end itself. The nearest point of P is an end of s then, so p would be that point.

Wider guards look at the triangles that the segment sweeps while its end runs along the part; they cover the region.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from geoseg.grid.window import Window
from geoseg.vector.labels.components import NO_COMPONENT, Runs
from geoseg.vector.lines.arcs import LATTICE, NODE, Arcs, Corners
from geoseg.vector.lines.fewest_segments import BENT, KEPT, LOOP, OPEN, RING, reach_within, simplify_lines
from geoseg.vector.lines.obstacles import shorten
from geoseg.vector.lines.start_lines import find_start_lines

MAX_SIMPLIFY_PX = 1000.0
"""Largest bound."""

_START_PX = 0.5
"""Distance that the start line is granted; what is left of the bound is the guard."""
_FREE_GUARD_PX = 0.5
"""Up to this guard no other vertex can lie in the way."""


def simplify_arcs(arcs: Arcs, corners: Corners, classes: Runs, core: Window, cut_px: int, simplify_px: float) -> Arcs:
    """Replace arcs by the polylines with the fewest segments that stay within a bound.

    Both ends of an arc stay; a closed arc without a node has none, and its best start is found. Arcs beside nodata are
    not changed, so neither is the area of the valid pixels.

    Args:
        arcs: The unsimplified arcs of a block.
        corners: The block's corners, as `find_corners` returned them.
        classes: Class ids of the core and one pixel around it, see `find_corners`.
        core: The block's window in the scene.
        cut_px: Period of the cut lattice.
        simplify_px: No point of a line is farther than this from the pixel edges, nor they from it. The guard is half a
            pixel less; below half a pixel the arcs are not changed.

    Raises:
        ValueError: If the bound is not between 0 and `MAX_SIMPLIFY_PX`.
    """
    if not 0 <= simplify_px <= MAX_SIMPLIFY_PX:
        raise ValueError(f"simplify_px={simplify_px} must be between 0 and {MAX_SIMPLIFY_PX:g}.")
    guard_px = simplify_px - _START_PX
    if guard_px < 0:
        return arcs
    guard, kinds = 2.0 * guard_px, _kinds(arcs, corners, core, cut_px)
    lines, line_offsets = find_start_lines(arcs, kinds)
    limits = np.empty(0, np.int32)
    if guard_px > _FREE_GUARD_PX:
        limits = np.ones(len(lines), np.int32)
        reach_within(lines, line_offsets, kinds, guard, limits)
        shorten(limits, lines, line_offsets, kinds, corners, classes, core)
    crossing = _crossing(arcs, kinds, corners, core)
    xy, offsets, states = np.empty_like(lines), np.empty_like(line_offsets), np.empty(len(lines), np.uint8)
    simplify_lines(lines, line_offsets, kinds, guard, limits, crossing, xy, offsets, states)
    count = offsets[-1]
    return replace(arcs, xy=xy[:count].copy(), offsets=offsets, states=states[:count].copy(), crossing=crossing)


def crossing_guard(simplify_px: float) -> float:
    """Guard in half pixels with which the lines at crossings are drawn, see `geoseg.vector.lines.crossings`."""
    return 2.0 * max(0.0, min(simplify_px - _START_PX, _FREE_GUARD_PX))


def _crossing(arcs: Arcs, kinds: NDArray[np.int8], corners: Corners, core: Window) -> NDArray[np.uint8]:
    """Whether an arc that may change starts (1) or ends (2) where only the cut lattice has a node."""
    (row, col), (last_row, last_col) = (((end // 2 - (core.col, core.row)).T)[::-1] for end in (arcs.start, arcs.end))
    starts, ends = corners.bits[row, col] & LATTICE > 0, corners.bits[last_row, last_col] & LATTICE > 0
    return np.where(kinds == KEPT, 0, starts + 2 * ends).astype(np.uint8)


def _kinds(arcs: Arcs, corners: Corners, core: Window, cut_px: int) -> NDArray[np.int8]:
    """What is to be done with each arc.

    An open arc keeps an inner vertex if it could collapse onto another arc with the same ends, which is either in this
    block or on the other side of a line of the cut lattice. An arc that is straight has none to keep.
    """
    start, end = arcs.start.astype(np.int64), arcs.end.astype(np.int64)
    along_cut = ((start == end) & (start % (2 * cut_px) == 0)).any(axis=1)
    ends = np.stack([start[:, 1] << 32 | start[:, 0], end[:, 1] << 32 | end[:, 0]])
    order = np.lexsort(ends)
    same = (ends[:, order[1:]] == ends[:, order[:-1]]).all(axis=0)
    twin = np.zeros(len(arcs), np.bool_)
    twin[order[1:]] = same
    twin[order[:-1]] |= same
    kinds = np.full(len(arcs), OPEN, np.int8)
    kinds[(twin | along_cut) & (np.diff(arcs.offsets) > 2)] = BENT
    closed = (start == end).all(axis=1)
    col, row = (start[closed] // 2 - (core.col, core.row)).T
    kinds[closed] = np.where(corners.bits[row, col] & NODE, LOOP, RING)
    kinds[(arcs.left == NO_COMPONENT) | (arcs.right == NO_COMPONENT)] = KEPT
    return kinds
