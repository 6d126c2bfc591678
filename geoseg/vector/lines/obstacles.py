"""How far segments can go before the region between them and their line holds a vertex of another line.

Only for guards above half a pixel, see `geoseg.vector.lines.simplify`.
"""

import numpy as np
from numpy.typing import NDArray

from geoseg.grid.legend import NODATA_CLASS
from geoseg.grid.window import Window
from geoseg.vector.labels.compiled import compiled
from geoseg.vector.labels.components import Runs
from geoseg.vector.lines.arcs import NODE, VERTEX, Corners
from geoseg.vector.lines.fewest_segments import KEPT, RING


def shorten(
    spans: NDArray[np.int32], xy: NDArray[np.int32], offsets: NDArray[np.int64], kinds: NDArray[np.int8],
    corners: Corners, classes: Runs, core: Window,
) -> None:  # fmt: skip
    """Shorten how far segments may advance, in place: up to the first triangle that holds a foreign vertex.

    Args:
        spans: Most vertices that a segment may advance from each vertex, shape (V,).
        xy: Vertices of the start lines of a block in half pixels, shape (V, 2).
        offsets: Line ``i`` has the vertices ``offsets[i]:offsets[i + 1]``, shape (N + 1,).
        kinds: Kind of each line, see `geoseg.vector.lines.fewest_segments`.
        corners: The block's corners.
        classes: Class ids of the core and one pixel around it, see `geoseg.vector.lines.arcs.find_corners`.
        core: The block's window in the scene.
    """
    _shorten(spans, xy, offsets, kinds, _taken_points(corners, classes, core), (2 * core.row, 2 * core.col))


def _taken_points(corners: Corners, classes: Runs, core: Window) -> NDArray[np.int32]:
    """Points of the lattice of half pixels that no segment may pass over: -1, others 0; shape (2 H + 1, 2 W + 1).

    They are the middles of all pixel edges on and within the block's border, nodes, and corners beside nodata.
    """
    pixels = classes.spread(classes.values, core.width + 2)
    taken = np.zeros((2 * core.height + 1, 2 * core.width + 1), np.int32)
    taken[::2, 1::2] -= pixels[1:, 1:-1] != pixels[:-1, 1:-1]
    taken[1::2, ::2] -= pixels[1:-1, 1:] != pixels[1:-1, :-1]
    missing = pixels == NODATA_CLASS
    beside_nodata = missing[1:, 1:] | missing[1:, :-1] | missing[:-1, 1:] | missing[:-1, :-1]
    taken[::2, ::2] -= (corners.bits & NODE > 0) | (beside_nodata & (corners.bits & VERTEX > 0))
    return taken


@compiled
def _shorten(
    spans: NDArray[np.int32], xy: NDArray[np.int32], offsets: NDArray[np.int64], kinds: NDArray[np.int8],
    taken: NDArray[np.int32], origin: tuple[int, int],
) -> None:  # fmt: skip
    for number in range(len(kinds)):
        first, count, ring = offsets[number], offsets[number + 1] - offsets[number] - 1, kinds[number] == RING
        if kinds[number] == KEPT:
            continue
        line = xy[first : first + count + 1].astype(np.int64)
        line[:, 0] -= origin[1]
        line[:, 1] -= origin[0]
        _mark(line, ring, taken, True)
        for i in range(count):
            for j in range(i + 2, i + spans[first + i] + 1):
                if not _is_free(line, i, j, count, taken):
                    spans[first + i] = j - i - 1
                    break
        _mark(line, ring, taken, False)


@compiled
def _mark(line: NDArray[np.int64], ring: bool, taken: NDArray[np.int32], own: bool) -> None:
    """Write the number of the vertex before it, from 1, to each point of a line, or restore -1. Ends stay -1."""
    for k in range(len(line) - 1):
        (x, y), (nx, ny) = line[k], line[k + 1]
        if k > 0 or ring:
            taken[y, x] = k + 1 if own else -1
        dx, dy = (nx > x) - (nx < x), (ny > y) - (ny < y)
        if dx != 0 and dy != 0:
            continue
        x, y = x + dx, y + dy
        while x != nx or y != ny:
            if (x + y) % 2 != 0:
                taken[y, x] = k + 1 if own else -1
            x, y = x + dx, y + dy


@compiled
def _is_free(line: NDArray[np.int64], i: int, j: int, count: int, taken: NDArray[np.int32]) -> bool:
    """Return whether the triangle of vertices ``i``, ``j - 1`` and ``j`` holds no point but those from ``i`` to ``j``.

    Scans along the shorter side of its bounding box, so long thin triangles are cheap.
    """
    last = len(line) - 1
    # On a ring a segment may go on behind the last vertex, which is the first.
    (ax, ay), (bx, by), (cx, cy) = (
        line[i],
        line[(j - 1) % count if j > last else j - 1],
        line[j % count if j > last else j],
    )
    # Half a unit or nothing: no other point of the lattice (Pick's theorem).
    if abs((bx - ax) * (cy - ay) - (by - ay) * (cx - ax)) <= 1:
        return True
    swap = max(ax, bx, cx) - min(ax, bx, cx) < max(ay, by, cy) - min(ay, by, cy)
    if swap:
        ax, ay, bx, by, cx, cy = ay, ax, by, bx, cy, cx
    for y in range(min(ay, by, cy), max(ay, by, cy) + 1):
        low, high = 1 << 40, -(1 << 40)
        for sx, sy, tx, ty in ((ax, ay, bx, by), (bx, by, cx, cy), (cx, cy, ax, ay)):
            first, final = _on_row(sx, sy, tx, ty, y)
            low, high = min(low, first), max(high, final)
        for x in range(low, high + 1):
            who = taken[x, y] if swap else taken[y, x]
            if who == 0 or (who > 0 and (who - 1 - i) % count < j - i):
                continue
            if not ((x == ax and y == ay) or (x == bx and y == by) or (x == cx and y == cy)):
                return False
    return True


@compiled
def _on_row(px: int, py: int, qx: int, qy: int, y: int) -> tuple[int, int]:
    """First point of a row on the right of a side of a triangle or on it, and the last one on its left."""
    if not min(py, qy) <= y <= max(py, qy):
        return 1 << 40, -(1 << 40)
    if py == qy:
        return min(px, qx), max(px, qx)
    rise = abs(qy - py)
    along = (qx - px) * (y - py) * (1 if qy > py else -1)
    return px - (-along // rise), px + along // rise
