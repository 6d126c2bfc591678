"""Join arcs where only the cut lattice parts them, so that no vertex is left that only the lattice needs.

`geoseg.vector.lines.simplify` leaves all vertices of the start line within two segments of such a *crossing*. Here the
arcs on both sides become one line, and the window of these segments gets the fewest segments, without the crossing. All
arcs of a component are there when its polygon is built, so the result does not depend on the blocks. A line begins at
the end that is first in raster order; windows that overlap are drawn one after the other.

The guard is at most half a pixel, so no other vertex can lie in the way. A line between two nodes becomes a single
segment only if it lies on both sides of that segment or on it: no second line between the same nodes can do so then.
"""

import numpy as np
from numpy.typing import NDArray

from geoseg.vector.labels.compiled import compiled
from geoseg.vector.lines.arcs import CROSSING, DRAWN, FIRM, PASSED, Arcs, concatenate_arcs, select_arcs
from geoseg.vector.lines.fewest_segments import BENT, LOOP, OPEN, RING_SEGMENTS, WINDOW_SEGMENTS, simplify_lines

_REMOVED = 4
"""State of a crossing that is no vertex any more."""


def join_crossings(arcs: Arcs, guard: float) -> Arcs:
    """Join arcs at the crossings where both parts are there.

    Args:
        arcs: Simplified arcs; all those of the components that are to be built, and any others.
        guard: Largest distance of a passed vertex from its segment, in half pixels; at most 1.

    Returns:
        The arcs, those that were joined behind the others.
    """
    partner = _partners(arcs)
    joined = np.asarray((partner >= 0).any(axis=1))
    if not joined.any():
        return arcs
    whole, parts = select_arcs(arcs, ~joined), select_arcs(arcs, joined)
    ends = np.cumsum(joined) * 2 - 2
    partner = partner[joined]
    partner = np.where(partner >= 0, ends[partner // 2] + partner % 2, -1).ravel()
    leaving = np.stack([parts.leaving, parts.arriving ^ 2], axis=1).ravel()
    chains, offsets = np.empty(len(parts), np.int64), np.zeros(len(parts) + 1, np.int64)
    offsets = offsets[: _chain(_positions(parts).ravel(), leaving, partner, chains, offsets) + 1]
    xy, states, starts = np.empty_like(parts.xy), np.empty_like(parts.states), np.zeros(len(offsets), np.int64)
    _line_up(parts.xy, parts.states, parts.offsets, chains, offsets, partner, xy, states, starts)
    _remove_crossings(xy[: starts[-1]], states[: starts[-1]], starts, guard)
    first, last = chains[offsets[:-1]], chains[offsets[1:] - 1]
    # A ring has no end at a node, and begins at another vertex now: any heading will do.
    is_ring = partner[first] >= 0
    first_heading, last_heading = (
        np.where(is_ring, 0, way).astype(np.uint8) for way in (leaving[first], leaving[last ^ 1] ^ 2)
    )
    drawn = states[: starts[-1]] != PASSED
    drawn &= states[: starts[-1]] != _REMOVED
    sides = np.stack([parts.left, parts.right], axis=1).ravel()
    lines = Arcs(
        xy[: starts[-1]][drawn],
        np.concatenate([[0], np.cumsum(drawn)])[starts],
        sides[first],
        sides[first ^ 1],
        first_heading,
        last_heading,
        np.full(np.count_nonzero(drawn), FIRM, np.uint8),
        np.zeros(len(first), np.uint8),
    )
    return concatenate_arcs([whole, lines])


def _positions(arcs: Arcs) -> NDArray[np.int64]:
    """Start and end of each arc as one number, in raster order, shape (N, 2)."""
    ends = np.stack([arcs.start, arcs.end], axis=1).astype(np.int64)
    return np.asarray(ends[..., 1] << 32 | ends[..., 0])


def _partners(arcs: Arcs) -> NDArray[np.int64]:
    """For start and end of each arc, number ``2 * arc`` and ``2 * arc + 1``, that of the end it meets at a crossing.

    -1 where there is none; shape (N, 2).
    """
    partner = np.full(2 * len(arcs), -1)
    ends = np.flatnonzero(np.stack([arcs.crossing & 1, arcs.crossing & 2], axis=1))
    positions = _positions(arcs).ravel()[ends]
    order = np.argsort(positions, kind="stable")
    ends, positions = ends[order], positions[order]
    same = np.flatnonzero(positions[1:] == positions[:-1])
    partner[ends[same]], partner[ends[same + 1]] = ends[same + 1], ends[same]
    return partner.reshape(-1, 2)


def _remove_crossings(
    xy: NDArray[np.int32], states: NDArray[np.uint8], starts: NDArray[np.int64], guard: float
) -> None:
    """Change the states of lines so that the crossings are gone. Each round draws windows that do not overlap."""
    windows, kinds = np.empty((len(xy), 2), np.int64), np.empty(len(xy), np.int8)
    lines, offsets = np.empty_like(xy), np.zeros(len(xy) + 1, np.int64)
    drawn, drawn_offsets, unused = np.empty_like(lines), np.empty_like(offsets), np.empty_like(states)
    limits, crossing = np.empty(0, np.int32), np.zeros(len(xy), np.uint8)
    while count := _open_windows(xy, states, starts, windows, kinds, lines, offsets):
        simplify_lines(
            lines, offsets[: count + 1], kinds[:count], guard, limits, crossing, drawn, drawn_offsets, unused
        )
        _close_windows(xy, states, starts, windows[:count], drawn, drawn_offsets)


@compiled
def _chain(
    positions: NDArray[np.int64], leaving: NDArray[np.uint8], partner: NDArray[np.int64], chains: NDArray[np.int64],
    offsets: NDArray[np.int64],
) -> int:  # fmt: skip
    """Write the lines: for each the ends at which it enters its arcs, one after the other; return their number.

    A line with two ends starts at the first one in raster order, a ring at its first crossing.
    """
    count = size = 0
    seen = np.zeros(len(positions), np.bool_)
    for end in range(0, len(positions), 2):
        if seen[end]:
            continue
        enter = first = end
        while partner[enter] >= 0:
            enter = partner[enter] ^ 1
            if positions[enter] < positions[first]:
                first = enter
            if enter == end:
                break
        if partner[enter] >= 0:
            # A ring, in the direction that leaves the crossing with the smaller heading.
            enter = first if leaving[first] < leaving[partner[first]] else partner[first]
        else:
            last = enter
            while partner[last ^ 1] >= 0:
                last = partner[last ^ 1]
            one, other = (positions[enter], leaving[enter]), (positions[last ^ 1], leaving[last ^ 1])
            if other < one:
                enter = last ^ 1
        while enter >= 0 and not seen[enter]:
            seen[enter] = seen[enter ^ 1] = True
            chains[size] = enter
            size += 1
            enter = partner[enter ^ 1]
        count += 1
        offsets[count] = size
    return count


@compiled
def _line_up(
    xy: NDArray[np.int32], states: NDArray[np.uint8], offsets: NDArray[np.int64], chains: NDArray[np.int64],
    chain_offsets: NDArray[np.int64], partner: NDArray[np.int64], out: NDArray[np.int32], out_states: NDArray[np.uint8],
    starts: NDArray[np.int64],
) -> None:  # fmt: skip
    """Write the vertices of each line. A ring begins and ends at its first vertex in raster order that is drawn."""
    size = 0
    for line in range(len(starts) - 1):
        begin = size
        for at in range(chain_offsets[line], chain_offsets[line + 1]):
            arc, back = chains[at] // 2, chains[at] % 2
            vertex, stop, step = offsets[arc], offsets[arc + 1], 1
            if back:
                vertex, stop, step = offsets[arc + 1] - 1, offsets[arc] - 1, -1
            if size > begin:
                vertex += step
            while vertex != stop:
                out[size], out_states[size] = xy[vertex], states[vertex]
                size += 1
                vertex += step
        if partner[chains[chain_offsets[line]]] >= 0:
            turn, least = 0, (np.int64(1) << 62, np.int64(0))
            for at in range(begin, size - 1):
                key = (np.int64(out_states[at] == PASSED), np.int64(out[at, 1]) << 32 | np.int64(out[at, 0]))
                if out_states[at] != CROSSING and key < least:
                    turn, least = at - begin, key
            ring, ring_states = out[begin : size - 1].copy(), out_states[begin : size - 1].copy()
            for at in range(begin, size):
                out[at] = ring[(at - begin + turn) % len(ring)]
                out_states[at] = ring_states[(at - begin + turn) % len(ring)]
        out_states[begin] = out_states[size - 1] = FIRM
        starts[line + 1] = size


@compiled
def _open_windows(
    xy: NDArray[np.int32], states: NDArray[np.uint8], starts: NDArray[np.int64], windows: NDArray[np.int64],
    kinds: NDArray[np.int8], lines: NDArray[np.int32], offsets: NDArray[np.int64],
) -> int:  # fmt: skip
    """Write the borders of windows around crossings, and their lines without the crossings; return how many."""
    count = size = 0
    for line in range(len(starts) - 1):
        start, last = starts[line], starts[line + 1] - 1
        free = start
        for at in range(start + 1, last):
            if states[at] != CROSSING:
                continue
            begin, end = _border(states, at, start, -1), _border(states, at, last, 1)
            if begin < free:
                continue
            windows[count, 0], windows[count, 1] = begin, end
            begin_size, free = size, end
            for vertex in range(begin, end + 1):
                if states[vertex] != CROSSING and states[vertex] != _REMOVED:
                    lines[size] = xy[vertex]
                    size += 1
            kinds[count] = OPEN
            if begin == start and end == last:
                part = lines[begin_size:size]
                kinds[count] = LOOP if (part[0] == part[-1]).all() else (OPEN if _is_on_both_sides(part) else BENT)
            count += 1
            offsets[count] = size
    return count


@compiled
def _border(states: NDArray[np.uint8], at: int, last: int, step: int) -> int:
    """The vertex where the window of a crossing ends, in the direction of ``step``."""
    left = WINDOW_SEGMENTS
    while at != last and left > 0:
        at += step
        if states[at] == FIRM:
            return at
        left -= states[at] == DRAWN
    return at


@compiled
def _is_on_both_sides(line: NDArray[np.int32]) -> bool:
    """Return whether a line has vertices on both sides of the segment between its ends, or on neither."""
    left = right = False
    ux, uy = np.int64(line[-1, 0]) - line[0, 0], np.int64(line[-1, 1]) - line[0, 1]
    for at in range(len(line)):
        side = ux * (np.int64(line[at, 1]) - line[0, 1]) - uy * (np.int64(line[at, 0]) - line[0, 0])
        left |= side > 0
        right |= side < 0
    return left == right


@compiled
def _close_windows(
    xy: NDArray[np.int32], states: NDArray[np.uint8], starts: NDArray[np.int64], windows: NDArray[np.int64],
    drawn: NDArray[np.int32], offsets: NDArray[np.int64],
) -> None:  # fmt: skip
    """Take over the vertices of windows. A crossing stays if there would be more segments than needed."""
    line = 0
    for window in range(len(windows)):
        begin, end = windows[window]
        while starts[line + 1] <= begin:
            line += 1
        before, total = _segments(states, begin, end), _segments(states, starts[line], starts[line + 1] - 1)
        after = offsets[window + 1] - offsets[window] - 1
        fewest = RING_SEGMENTS if (xy[starts[line]] == xy[starts[line + 1] - 1]).all() else 1
        total += after - before
        stays = total < fewest or (after > before and total > fewest)
        following = offsets[window] + 1
        for vertex in range(begin + 1, end):
            if states[vertex] == CROSSING:
                states[vertex] = FIRM if stays else _REMOVED
            elif not stays and states[vertex] != _REMOVED:
                same = (xy[vertex] == drawn[following]).all()
                states[vertex] = DRAWN if same else PASSED
                following += same


@compiled
def _segments(states: NDArray[np.uint8], begin: int, end: int) -> int:
    """Number of segments from one vertex to another."""
    count = 1
    for vertex in range(begin + 1, end):
        count += states[vertex] != PASSED and states[vertex] != _REMOVED
    return count
