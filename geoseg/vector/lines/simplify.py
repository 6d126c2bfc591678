"""Simplify arcs so that no two of them touch.

Visvalingam and Whyatt (1993): remove, smallest first, each vertex whose triangle with its neighbours is small. Here a
vertex is removed only if its triangle, borders included, contains no other vertex of the *unsimplified* arcs. Then no
line lies in the triangle, because it would end there or cross the arc. So no lines cross, for any order of removal, and
each arc can be simplified without the others.
"""

from math import floor

import numpy as np
from numpy.typing import NDArray

from geoseg.grid.window import Window
from geoseg.vector.labels.compiled import compiled
from geoseg.vector.labels.components import NO_COMPONENT
from geoseg.vector.lines.arcs import VERTEX, Arcs, Corners

MAX_TOLERANCE_PX = 1000.0
"""Largest tolerance: an area and a vertex number fit into one int64."""

_EVERY_VERTEX = -1


def simplify_arcs(arcs: Arcs, corners: Corners, core: Window, cut_px: int, tolerance_px: float) -> Arcs:
    """Remove vertices whose triangle has at most the area of a square of side ``tolerance_px``.

    Both ends of an arc stay. Arcs beside nodata are not simplified, so the area of the valid pixels does not change.

    Args:
        arcs: The unsimplified arcs of a block.
        corners: The block's corners, as `find_corners` returned them.
        core: The block's window in the scene.
        cut_px: Period of the cut lattice.
        tolerance_px: Square root of the largest triangle that is removed at a time, above 0. Stairs of one by one pixel
            disappear from 0.71 on, of two by one from 1. It does not bound the distance: with 1, lines of 58,547
            polygons moved by up to 3.1 pixels, and by more than 1.4 for one polygon in a hundred.

    Raises:
        ValueError: If the tolerance is not above 0 or exceeds `MAX_TOLERANCE_PX`.
    """
    if not 0 < tolerance_px <= MAX_TOLERANCE_PX:
        raise ValueError(f"tolerance_px={tolerance_px} must be above 0 and at most {MAX_TOLERANCE_PX}.")
    xy, offsets = arcs.xy.copy(), np.empty_like(arcs.offsets)
    limit = floor(2 * tolerance_px**2)
    origin = core.row, core.col
    _simplify(arcs.xy, arcs.offsets, _least(arcs, cut_px), corners.bits, origin, limit, xy, offsets)
    return Arcs(xy[: offsets[-1]].copy(), offsets, arcs.left, arcs.right, arcs.leaving, arcs.arriving)


def _least(arcs: Arcs, cut_px: int) -> NDArray[np.int8]:
    """Smallest number of inner vertices of each simplified arc, -1 to keep all.

    A closed arc needs two, otherwise it has no area. An open arc needs one if it could collapse onto another arc with
    the same ends, which is either in this block or on the other side of a line of the cut lattice.
    """
    start, end = arcs.start.astype(np.int64), arcs.end.astype(np.int64)
    along_cut = ((start == end) & (start % cut_px == 0)).any(axis=1)
    ends = np.stack([start[:, 1] << 32 | start[:, 0], end[:, 1] << 32 | end[:, 0]])
    order = np.lexsort(ends)
    same = (ends[:, order[1:]] == ends[:, order[:-1]]).all(axis=0)
    twin = np.zeros(len(arcs), np.bool_)
    twin[order[1:]] = same
    twin[order[:-1]] |= same
    least = (twin | along_cut).astype(np.int8)
    least[(start == end).all(axis=1)] = 2
    least[(arcs.left == NO_COMPONENT) | (arcs.right == NO_COMPONENT)] = _EVERY_VERTEX
    return np.asarray(least)


@compiled
def _simplify(
    xy: NDArray[np.int32], offsets: NDArray[np.int64], least: NDArray[np.int8], corners: NDArray[np.uint8],
    origin: tuple[int, int], limit: int, out: NDArray[np.int32], out_offsets: NDArray[np.int64],
) -> None:  # fmt: skip
    """Write the remaining vertices to ``out``; ``limit`` is twice the largest area."""
    longest = 0
    for arc in range(len(least)):
        longest = max(longest, offsets[arc + 1] - offsets[arc])
    links, areas = np.empty((2, longest), np.int32), np.empty(longest, np.int64)
    heap = np.empty(3 * longest, np.int64)
    out_offsets[0] = size = 0
    for arc in range(len(least)):
        line = xy[offsets[arc] : offsets[arc + 1]]
        last = len(line) - 1
        if least[arc] != _EVERY_VERTEX and last - 1 > least[arc]:
            _thin(line, last - 1 - least[arc], corners, origin, limit, links, areas, heap)
            at = 0
            while at != last:
                out[size] = line[at]
                size += 1
                at = links[1, at]
            out[size] = line[last]
            size += 1
        else:
            out[size : size + last + 1] = line
            size += last + 1
        out_offsets[arc + 1] = size


@compiled
def _thin(
    line: NDArray[np.int32], most: int, corners: NDArray[np.uint8], origin: tuple[int, int], limit: int,
    links: NDArray[np.int32], areas: NDArray[np.int64], heap: NDArray[np.int64],
) -> None:  # fmt: skip
    """Remove at most ``most`` vertices; ``links`` then holds the vertices before and after each remaining one."""
    count, size = len(line), 0
    for at in range(count):
        links[0, at], links[1, at] = at - 1, at + 1
    for at in range(1, count - 1):
        areas[at] = _area(line, at - 1, at, at + 1)
        if areas[at] <= limit:
            size = _push(heap, size, areas[at] * count + at)
    while size > 0 and most > 0:
        key = heap[0]
        size = _pop(heap, size)
        area, at = key // count, key % count
        # An outdated entry: the vertex was removed, or its triangle has changed.
        if areas[at] != area:
            continue
        before, after = links[0, at], links[1, at]
        # A triangle of half a pixel, as most are, contains no other pixel corner (Pick's theorem).
        if area != 1 and not _is_free(line[before], line[at], line[after], corners, origin):
            continue
        areas[at] = -1
        most -= 1
        links[1, before], links[0, after] = after, before
        for near in (before, after):
            if 0 < near < count - 1:
                areas[near] = _area(line, links[0, near], near, links[1, near])
                if areas[near] <= limit:
                    size = _push(heap, size, areas[near] * count + near)


@compiled
def _area(line: NDArray[np.int32], a: int, b: int, c: int) -> int:
    """Twice the area of a triangle."""
    ux, uy = np.int64(line[b, 0]) - line[a, 0], np.int64(line[b, 1]) - line[a, 1]
    vx, vy = np.int64(line[c, 0]) - line[a, 0], np.int64(line[c, 1]) - line[a, 1]
    return int(abs(ux * vy - uy * vx))


@compiled
def _is_free(
    a: NDArray[np.int32],
    b: NDArray[np.int32],
    c: NDArray[np.int32],
    corners: NDArray[np.uint8],
    origin: tuple[int, int],
) -> bool:
    """Return whether a triangle contains no other vertex. Scans row by row, so long thin triangles are cheap."""
    row, col = origin
    for y in range(min(a[1], b[1], c[1]), max(a[1], b[1], c[1]) + 1):
        first, last = np.int64(1) << 40, -(np.int64(1) << 40)
        for p, q in ((a, b), (b, c), (c, a)):
            px, py, qx, qy = np.int64(p[0]), np.int64(p[1]), np.int64(q[0]), np.int64(q[1])
            if py > qy:
                px, py, qx, qy = qx, qy, px, py
            if not py <= y <= qy:
                continue
            if py == qy:
                first, last = min(first, px, qx), max(last, px, qx)
            else:
                along = (qx - px) * (y - py)
                first = min(first, px - (-along // (qy - py)))
                last = max(last, px + along // (qy - py))
        for x in range(first, last + 1):
            if corners[y - row, x - col] & VERTEX and not (
                (x == a[0] and y == a[1]) or (x == b[0] and y == b[1]) or (x == c[0] and y == c[1])
            ):
                return False
    return True


@compiled
def _push(heap: NDArray[np.int64], size: int, key: int) -> int:
    """Add a key to a binary heap; return its new size."""
    at = size
    while at > 0 and heap[(at - 1) // 2] > key:
        heap[at] = heap[(at - 1) // 2]
        at = (at - 1) // 2
    heap[at] = key
    return size + 1


@compiled
def _pop(heap: NDArray[np.int64], size: int) -> int:
    """Remove the smallest key from a binary heap; return its new size."""
    size -= 1
    key, at = heap[size], 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= key:
            break
        heap[at] = heap[child]
        at = child
    heap[at] = key
    return size
