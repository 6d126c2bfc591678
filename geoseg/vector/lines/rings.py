"""Arcs to polygons: link the arcs around each component to rings.

A ring has its component on the right as seen on the map. Where two diagonal pixels of one component touch, it continues
along the same region *outside*. So no ring touches itself, and two rings of a polygon touch in single points at most.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.vector.labels.compiled import compiled
from geoseg.vector.labels.component_ids import is_among
from geoseg.vector.labels.components import NO_COMPONENT
from geoseg.vector.lines.arcs import Arcs

Affine = tuple[float, float, float, float, float, float]
"""``(a, b, c, d, e, f)`` of `geoseg.grid.window.Grid.transform`."""

PIXELS: Affine = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
"""The transform that leaves coordinates in pixels."""


def build_polygons(arcs: Arcs, names: NDArray[np.int64], transform: Affine = PIXELS) -> NDArray[Any]:
    """Build the polygons of some components.

    Nodes where the boundary of two components is straight are omitted, in the polygons on both sides. Rings start at
    their first vertex in raster order, and holes are sorted by it, so equal components give equal polygons.

    Args:
        arcs: All arcs of these components, in any order; further arcs are ignored.
        names: First pixels of the components, ascending, shape (N,).
        transform: Affine transform of the polygons' coordinates; by default x is the column and y the row.

    Returns:
        Valid shapely polygons, shells counter-clockwise in x and y; shape (N,).
    """
    return find_rings(arcs, names, transform).build()


@dataclass(frozen=True, slots=True)
class Rings:
    """The rings of some components, R in all with V vertices."""

    xy: NDArray[np.float64]
    """Vertices of one ring after the other, the first one of each repeated at its end, shape (V, 2)."""
    offsets: NDArray[np.int64]
    """Ring ``i`` has the vertices ``offsets[i]:offsets[i + 1]``, shape (R + 1,)."""
    shells: NDArray[np.int64]
    """Component ``i`` has the rings ``shells[i]:shells[i + 1]``, its shell first, shape (N + 1,)."""

    def build(self) -> NDArray[Any]:
        """Build the polygons, shape (N,)."""
        geometry = shapely.from_ragged_array(shapely.GeometryType.POLYGON, self.xy, (self.offsets, self.shells))
        return np.asarray(geometry, object)


def find_rings(arcs: Arcs, names: NDArray[np.int64], transform: Affine = PIXELS) -> Rings:
    """Link arcs to rings; arguments as in `build_polygons`. The arcs can be freed before the polygons are built."""
    # A chain is an arc in one direction: 2 * arc forwards, 2 * arc + 1 backwards.
    sides = np.stack([arcs.right, arcs.left], axis=1)
    inside = np.where(is_among(sides, names), sides, NO_COMPONENT).ravel()
    outside = sides[:, ::-1].ravel()
    del sides
    leaving = np.stack([arcs.leaving, arcs.arriving ^ 2], axis=1).ravel()
    arriving = np.stack([arcs.arriving, arcs.leaving ^ 2], axis=1).ravel()
    follower = np.full(len(inside), -1, np.int64)
    _link(*_number_nodes(arcs), inside, leaving, arriving, follower)
    straight = np.zeros(len(inside), np.bool_)
    _mark_straight(arcs.xy, arcs.offsets, follower, outside, leaving, arriving, straight)
    del outside, leaving, arriving

    rings = np.empty((len(inside), 5), np.int64)
    rings = rings[: _measure(arcs.xy, arcs.offsets, follower, straight, rings)]
    chain, length, first, area, first_vertex = rings.T
    component = inside[chain]
    order = np.lexsort([first_vertex, area < 0, component])
    offsets = np.concatenate([[0], np.cumsum(length[order])])
    xy = np.empty((offsets[-1], 2))
    _write(arcs.xy, arcs.offsets, follower, straight, chain[order], first[order], offsets, transform, xy)
    return Rings(xy, offsets, np.append(np.searchsorted(component[order], names), len(rings)))


def _number_nodes(arcs: Arcs) -> tuple[NDArray[np.int64], int]:
    """Number of the node at which each chain starts, shape (2 N,), and the number of nodes."""
    positions = np.empty((len(arcs), 2), np.int64)
    for side, end in enumerate((arcs.start, arcs.end)):
        positions[:, side] = end[:, 1].astype(np.int64) << 32 | end[:, 0]
    nodes, node = np.unique(positions, return_inverse=True)
    return node.ravel(), len(nodes)


@compiled
def _link(
    node: NDArray[np.int64], node_count: int, inside: NDArray[np.int64], leaving: NDArray[np.uint8],
    arriving: NDArray[np.uint8], follower: NDArray[np.int64],
) -> None:  # fmt: skip
    """Find the next chain around the component inside each chain; chain ``i`` starts at ``node[i]``."""
    chains = np.full((node_count, 4), -1, np.int64)
    for chain in range(len(node)):
        chains[node[chain], leaving[chain]] = chain
    for chain in range(len(node)):
        if inside[chain] == NO_COMPONENT:
            continue
        # Left first: where two diagonal pixels touch, this continues along the same region outside.
        for turn in (3, 0, 1):
            candidate = chains[node[chain ^ 1], (arriving[chain] + turn) & 3]
            if candidate >= 0 and inside[candidate] == inside[chain]:
                follower[chain] = candidate
                break


@compiled
def _ends(offsets: NDArray[np.int64], chain: int) -> tuple[int, int, int]:
    """First vertex of a chain, last one, and the step between them."""
    first, last = offsets[chain // 2], offsets[chain // 2 + 1] - 1
    if chain & 1:
        return last, first, -1
    return first, last, 1


@compiled
def _mark_straight(
    xy: NDArray[np.int32], offsets: NDArray[np.int64], follower: NDArray[np.int64], outside: NDArray[np.int64],
    leaving: NDArray[np.uint8], arriving: NDArray[np.uint8], straight: NDArray[np.bool_],
) -> None:  # fmt: skip
    """Mark chains whose first vertex is collinear and where the region outside does not change.

    The unsimplified boundary must be straight too: only then it is certain that just two regions meet there.
    """
    for chain in range(len(follower)):
        then = follower[chain]
        if then < 0 or outside[then] != outside[chain] or leaving[then] != arriving[chain]:
            continue
        _, here, back = _ends(offsets, chain)
        there, _, onward = _ends(offsets, then)
        ux, uy = np.int64(xy[here, 0]) - xy[here - back, 0], np.int64(xy[here, 1]) - xy[here - back, 1]
        vx, vy = np.int64(xy[there + onward, 0]) - xy[here, 0], np.int64(xy[there + onward, 1]) - xy[here, 1]
        straight[then] = ux * vy == uy * vx


@compiled
def _measure(
    xy: NDArray[np.int32], offsets: NDArray[np.int64], follower: NDArray[np.int64], straight: NDArray[np.bool_],
    rings: NDArray[np.int64],
) -> int:  # fmt: skip
    """Write a chain, number of vertices, first vertex, doubled area and position of each ring; return their number.

    The last vertex, equal to the one at the start of the chain, counts. The first vertex in raster order is given by
    its place along the ring, without straight vertices, and by its position ``y << 32 | x``.
    """
    count = 0
    seen = np.zeros(len(follower), np.bool_)
    for start in range(len(follower)):
        if follower[start] < 0 or seen[start]:
            continue
        length, first, area, smallest = 0, 0, 0, np.int64(1) << 62
        chain = start
        while not seen[chain]:
            seen[chain] = True
            at, last, step = _ends(offsets, chain)
            length -= straight[chain]
            while at != last:
                x, y = np.int64(xy[at, 0]), np.int64(xy[at, 1])
                # Never a straight vertex, because all others lie behind it.
                if (y << 32 | x) < smallest:
                    first, smallest = length, y << 32 | x
                length += 1
                area += x * xy[at + step, 1] - y * xy[at + step, 0]
                at += step
            chain = follower[chain]
        rings[count] = start, length + 1, first, area, smallest
        count += 1
    return count


@compiled
def _write(
    xy: NDArray[np.int32], offsets: NDArray[np.int64], follower: NDArray[np.int64], straight: NDArray[np.bool_],
    chains: NDArray[np.int64], firsts: NDArray[np.int64], ring_offsets: NDArray[np.int64], transform: Affine,
    out: NDArray[np.float64],
) -> None:  # fmt: skip
    """Write the transformed vertices of each ring from its first one on, which is repeated at the end.

    A transform that mirrors the rings reverses them.
    """
    a, b, c, d, e, f = transform
    # Vertices are in half pixels. Halves are exact, so the coordinates are those of whole pixels, bit for bit.
    a, b, d, e = a / 2, b / 2, d / 2, e / 2
    direction = -1 if a * e < b * d else 1
    for ring in range(len(chains)):
        begin, end = ring_offsets[ring], ring_offsets[ring + 1] - 1
        place, left, chain = begin + -direction * firsts[ring] % (end - begin), end - begin, chains[ring]
        while left:
            at, last, step = _ends(offsets, chain)
            if straight[chain]:
                at += step
            while at != last:
                x, y = xy[at, 0], xy[at, 1]
                out[place, 0], out[place, 1] = a * x + b * y + c, d * x + e * y + f
                place += direction
                if place == end:
                    place = begin
                elif place < begin:
                    place = end - 1
                left -= 1
                at += step
            chain = follower[chain]
        out[end] = out[begin]
