"""Boundaries between components, cut into arcs that no block border crosses.

A boundary consists of *pixel edges*: the unit edges between two pixels of different classes. A corner where three or
four of them meet is a *node*. The *cut lattice* is every ``cut_px``-th row and column of pixel corners; a corner where
a boundary crosses or leaves it is a node too. An *arc* runs from node to node, or is closed and has no node. So an arc
lies in one cell of the cut lattice. Block borders are lines of that lattice, so the arcs do not depend on the blocks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoseg.grid.window import Window
from geoseg.vector.labels.compiled import compiled
from geoseg.vector.labels.component_ids import is_among
from geoseg.vector.labels.components import NO_COMPONENT, Runs

UP, RIGHT, DOWN, LEFT = range(4)
"""Directions along an arc, clockwise as seen on the map."""

TURN, NODE, SEEN, LATTICE = 16, 32, 64, 128
"""Bits of a corner: turn of an arc; node; turn already traced; node for the cut lattice alone. Bit 1 << heading is set
for each pixel edge that starts there and that the block owns."""

VERTEX = TURN | NODE
"""A corner that is a vertex of some arc of some block."""


PASSED, DRAWN, FIRM, CROSSING = range(4)
"""States of a vertex: the line passes over it, or has it, but neither is final; the line has it; only the cut lattice
needs it. All but the last two are near a crossing, see `geoseg.vector.lines.crossings`."""


@dataclass(frozen=True, slots=True)
class Corners:
    """The pixel corners of a block."""

    bits: NDArray[np.uint8]
    """`TURN`, `NODE` and 1 << heading of each vertex, 0 of all other corners; shape (H + 1, W + 1)."""
    vertices: NDArray[np.int64]
    """Index of each vertex in ``bits.ravel()``, ascending; shape (V,)."""


@dataclass(frozen=True, slots=True)
class Arcs:
    """Boundary lines, N in all with V vertices. On each side of a line lies one component, or none."""

    xy: NDArray[np.int32]
    """Vertices of one arc after the other, both ends included, shape (V, 2): x and y in *half* pixels of the scene, so
    that the middles of pixel edges are integers too."""
    offsets: NDArray[np.int64]
    """Arc ``i`` has the vertices ``offsets[i]:offsets[i + 1]``, at least two; shape (N + 1,)."""
    left: NDArray[np.int64]
    """First pixel of the component on the left, -1 for none; shape (N,)."""
    right: NDArray[np.int64]
    """First pixel of the component on the right, -1 for none; shape (N,)."""
    leaving: NDArray[np.uint8]
    """Heading of the first pixel edge, shape (N,). Simplified vertices do not contain it."""
    arriving: NDArray[np.uint8]
    """Heading of the last pixel edge, shape (N,)."""
    states: NDArray[np.uint8]
    """`FIRM` or another state of each vertex, shape (V,)."""
    crossing: NDArray[np.uint8]
    """Bit 1 if a simplified arc starts at a crossing, bit 2 if it ends at one; shape (N,)."""

    def __len__(self) -> int:
        return len(self.left)

    @property
    def start(self) -> NDArray[np.int32]:
        """First vertex of each arc, shape (N, 2)."""
        return self.xy[self.offsets[:-1]]

    @property
    def end(self) -> NDArray[np.int32]:
        """Last vertex of each arc, shape (N, 2); the first one again if the arc is closed."""
        return self.xy[self.offsets[1:] - 1]


NO_ARCS = Arcs(
    np.empty((0, 2), np.int32),
    np.zeros(1, np.int64),
    np.empty(0, np.int64),
    np.empty(0, np.int64),
    *(np.empty(0, np.uint8) for _ in range(4)),
)


def find_corners(classes: Runs, core: Window, shape: tuple[int, int], cut_px: int) -> Corners:
    """Find the vertices of a block and the pixel edges that meet in each.

    Args:
        classes: Class ids of the core and one pixel around it, (H + 2, W + 2) in all; 255 outside the scene.
        core: The block's window in the scene; its borders lie on the cut lattice or the scene's edge.
        shape: Rows and columns of the scene.
        cut_px: Period of the cut lattice.

    Returns:
        The vertices of all arcs. A pixel edge between two blocks belongs to the block south or east of it.

    Raises:
        ValueError: If a border of the core lies neither on the cut lattice nor on the scene's edge.
    """
    borders = (core.row, core.col, core.row_stop % shape[0], core.col_stop % shape[1])
    if any(border % cut_px for border in borders):
        raise ValueError(f"The block {core} does not lie on the cut lattice of {cut_px} pixels of a scene of {shape}.")
    bits = np.zeros((core.height + 1, core.width + 1), np.uint8)
    # At a vertex a run begins in the row above or below, or a line of the lattice passes.
    vertices = np.empty(2 * len(classes.starts) + bits.shape[0] * (bits.shape[1] // cut_px + 1), np.int64)
    # Pixel edges on the last row and column of corners belong to the next block, if there is one.
    last = core.height + (core.row_stop == shape[0]), core.width + (core.col_stop == shape[1])
    runs = classes.offsets, classes.starts, classes.values
    count = _find_vertices(runs, (core.row, core.col), last, cut_px, bits, vertices)
    return Corners(bits, vertices[:count].copy())


def trace_arcs(
    corners: Corners, core: Window, labels: Runs, names: NDArray[np.int64],
    north: NDArray[np.int64], west: NDArray[np.int64],
) -> Arcs:  # fmt: skip
    """Trace the arcs of the pixel edges that a block owns.

    Open arcs start at the end that is first in raster order, closed arcs at their first turn, heading right.

    Args:
        corners: What `find_corners` returned. Its heading bits are cleared in place; its vertices stay.
        core: The block's window in the scene.
        labels: Component of each pixel of the core, -1 for none.
        names: First pixel of each component.
        north: First pixel of the component of each pixel of the row above the core, shape (W,), -1 for none.
        west: The same for the column left of the core, shape (H,).

    Returns:
        The arcs; all vertices are pixel corners.
    """
    kinds = corners.bits.ravel()[corners.vertices]
    nodes, turns = (int(np.count_nonzero(kinds & kind)) for kind in (NODE, TURN))
    # A node is the end of up to four arcs; a turn lies on one arc and may be its start.
    xy = np.empty((4 * nodes + 2 * turns, 2), np.int32)
    offsets = np.zeros(2 * nodes + turns + 1, np.int64)
    headings = np.empty((2, 2 * nodes + turns), np.uint8)
    count = _trace(corners.bits, corners.vertices, xy, offsets, headings)
    offsets, headings = offsets[: count + 1].copy(), headings[:, :count].copy()
    xy = xy[: offsets[-1]].copy()
    sides = np.empty((2, count), np.int64)
    # Copies, because numba would compile once more for the read-only arrays of the store.
    runs = labels.offsets.copy(), labels.starts.copy(), labels.values.copy()
    outside = north.copy(), west.copy()
    _find_sides(xy, offsets, headings[0], runs, core.width, names.copy(), outside, sides)
    xy += np.array([core.col, core.row], np.int32)
    xy *= np.int32(2)
    states, crossing = np.full(len(xy), FIRM, np.uint8), np.zeros(count, np.uint8)
    return Arcs(xy, offsets, sides[0], sides[1], headings[0], headings[1], states, crossing)


def arcs_beside(arcs: Arcs, names: NDArray[np.int64]) -> Arcs:
    """Select the arcs that have one of the named components, ascending, on a side."""
    return select_arcs(arcs, is_among(arcs.left, names) | is_among(arcs.right, names))


def select_arcs(arcs: Arcs, keep: NDArray[np.bool_]) -> Arcs:
    """Select the arcs where ``keep``, shape (N,), is True."""
    lengths = np.diff(arcs.offsets)
    vertices, offsets = np.repeat(keep, lengths), np.concatenate([[0], np.cumsum(lengths[keep])])
    return Arcs(
        arcs.xy[vertices],
        offsets,
        arcs.left[keep],
        arcs.right[keep],
        arcs.leaving[keep],
        arcs.arriving[keep],
        arcs.states[vertices],
        arcs.crossing[keep],
    )


def concatenate_arcs(parts: Sequence[Arcs]) -> Arcs:
    """Concatenate the arcs of several blocks."""
    parts = [NO_ARCS, *parts]
    lengths = np.concatenate([np.diff(part.offsets) for part in parts])
    columns = ("left", "right", "leaving", "arriving", "states", "crossing")
    return Arcs(
        np.concatenate([part.xy for part in parts]),
        np.concatenate([[0], np.cumsum(lengths)]),
        *(np.concatenate([getattr(part, column) for part in parts]) for column in columns),
    )


@compiled
def _find_vertices(
    runs: tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.uint8]], origin: tuple[int, int],
    last: tuple[int, int], cut_px: int, corners: NDArray[np.uint8], vertices: NDArray[np.int64],
) -> int:  # fmt: skip
    """Write the bits and indices of the vertices; return their number.

    Pixel edges along rows from ``last[0]`` on and along columns from ``last[1]`` on belong to another block.
    """
    (offsets, starts, values), (row, col), (last_row, last_col) = runs, origin, last
    height, width = corners.shape
    count = 0
    for r in range(height):
        above, above_stop, below, below_stop = offsets[r], offsets[r + 1], offsets[r + 1], offsets[r + 2]
        on_row = (row + r) % cut_px == 0
        c = 0
        while c < width:
            nw, sw = values[above], values[below]
            above += _end(starts, above, above_stop, width) == c
            below += _end(starts, below, below_stop, width) == c
            ne, se = values[above], values[below]
            bits = _kind(nw, ne, se, sw, on_row, (col + c) % cut_px == 0)
            if bits:
                if c < last_col:
                    bits |= (int(nw != ne and r > 0) << UP) | (int(sw != se and r < height - 1) << DOWN)
                if r < last_row:
                    bits |= (int(nw != sw and c > 0) << LEFT) | (int(ne != se and c < width - 1) << RIGHT)
                corners[r, c] = bits
                vertices[count] = r * width + c
                count += 1
            # Continue where a run ends; on a pixel edge no farther than the next line of the lattice.
            line = c + cut_px - (col + c) % cut_px if ne != se else width
            c = min(_end(starts, above, above_stop, width), _end(starts, below, below_stop, width), line)
    return count


@compiled
def _end(starts: NDArray[np.int32], run: int, stop: int, width: int) -> int:
    """Column of the corner where a run ends, ``width`` for the last run. Runs include the halo, corners do not."""
    return starts[run + 1] - 1 if run + 1 < stop else width


@compiled
def _kind(nw: int, ne: int, se: int, sw: int, on_row: bool, on_col: bool) -> int:
    """Classify the corner of four pixels: `NODE`, with or without `LATTICE`, `TURN` or 0."""
    up, right, down, left = nw != ne, ne != se, se != sw, sw != nw
    vertical, horizontal = up or down, right or left
    if int(up) + int(right) + int(down) + int(left) > 2:
        return NODE
    if (on_row and vertical) or (on_col and horizontal):
        return NODE | LATTICE
    return TURN if vertical and horizontal else 0


@compiled
def _trace(
    corners: NDArray[np.uint8], vertices: NDArray[np.int64], xy: NDArray[np.int32], offsets: NDArray[np.int64],
    headings: NDArray[np.uint8],
) -> int:  # fmt: skip
    """Trace arcs from all nodes, then from the turns that no arc contains yet; return their number."""
    count = 0
    width = corners.shape[1]
    for kind in (NODE, TURN):
        for vertex in vertices:
            r, c = vertex // width, vertex % width
            if corners[r, c] & (VERTEX | SEEN) != kind:
                continue
            for heading in range(4):
                if corners[r, c] & (1 << heading):
                    offsets[count + 1] = _follow(corners, r, c, heading, xy, offsets[count], headings[:, count])
                    count += 1
    return count


@compiled
def _follow(
    corners: NDArray[np.uint8], row: int, col: int, heading: int,
    xy: NDArray[np.int32], size: int, headings: NDArray[np.uint8],
) -> int:  # fmt: skip
    """Write the vertices of one arc, clear the heading bits at its ends, and return the number of vertices so far."""
    r, c = row, col
    headings[0] = heading
    xy[size, 0], xy[size, 1] = c, r
    size += 1
    corners[r, c] &= np.uint8(255 - (1 << heading))
    while True:
        r += (heading == DOWN) - (heading == UP)
        c += (heading == RIGHT) - (heading == LEFT)
        corner = corners[r, c]
        if not corner & VERTEX:
            continue
        xy[size, 0], xy[size, 1] = c, r
        size += 1
        if corner & NODE or (r == row and c == col):
            break
        corners[r, c] |= np.uint8(SEEN)
        clockwise = (heading + 1) & 3
        heading = clockwise if corner & (1 << clockwise) else (heading + 3) & 3
    headings[1] = heading
    corners[r, c] &= np.uint8(255 - (1 << (heading ^ 2)))
    return size


@compiled
def _run_at(offsets: NDArray[np.int64], starts: NDArray[np.int32], row: int, col: int) -> int:
    """Find the run that contains a pixel, by bisection."""
    run: int = offsets[row]
    stop = offsets[row + 1]
    while stop - run > 1:
        middle = (run + stop) // 2
        if starts[middle] <= col:
            run = middle
        else:
            stop = middle
    return run


@compiled
def _find_sides(
    xy: NDArray[np.int32], offsets: NDArray[np.int64], leaving: NDArray[np.uint8],
    runs: tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]], width: int, names: NDArray[np.int64],
    outside: tuple[NDArray[np.int64], NDArray[np.int64]], sides: NDArray[np.int64],
) -> None:  # fmt: skip
    """Write the name of the component on the left and on the right of the first pixel edge of each arc."""
    (rows, starts, labels), (north, west) = runs, outside
    for arc in range(sides.shape[1]):
        c, r = xy[offsets[arc]]
        for side in range(2):
            # The four pixels at a corner are numbered clockwise from the north-west: heading up, 0 is left and 1 right.
            pixel = (leaving[arc] + side) & 3
            y = r - (pixel < 2)
            x = c - (pixel % 3 == 0)
            name = np.int64(NO_COMPONENT)
            if y < 0:
                name = north[x]
            elif x < 0:
                name = west[y]
            elif y < len(rows) - 1 and x < width:
                label = labels[_run_at(rows, starts, y, x)]
                if label != NO_COMPONENT:
                    name = names[label]
            sides[side, arc] = name
