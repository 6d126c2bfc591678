"""Kernels: of all polylines over the vertices of a line, the one with the fewest segments.

Dynamic programming over the segments that are allowed (Imai and Iri 1988; Selinger's potrace 2003). From a vertex on,
the directions in which a segment passes all vertices so far within the guard are a *cone*, which narrows until it is
empty. Prefix sums of coordinates and their products give the squared distances of any stretch at once.

Lengths are in half pixels: then vertices are integers, and so are the areas and products that decide.
"""

import numpy as np
from numpy.typing import NDArray

from geoseg.vector.labels.compiled import compiled
from geoseg.vector.lines.arcs import CROSSING, DRAWN, FIRM, PASSED

KEPT, OPEN, BENT, LOOP, RING = range(5)
"""Kinds of lines: unchanged; with two ends; the same, with an inner vertex; closed at a node; closed without a node."""
RING_SEGMENTS = 4
"""Fewest segments of a closed line."""

WINDOW_SEGMENTS = 2
"""Segments on each side of a crossing that are drawn anew when its arcs are joined."""

_UNREACHED = 1 << 30


@compiled
def simplify_lines(
    xy: NDArray[np.int32], offsets: NDArray[np.int64], kinds: NDArray[np.int8], guard: float,
    limits: NDArray[np.int32], crossing: NDArray[np.uint8], out: NDArray[np.int32], out_offsets: NDArray[np.int64],
    states: NDArray[np.uint8],
) -> None:  # fmt: skip
    """Write the polylines with the fewest segments, of these the one with the least sum of squared distances.

    Args:
        xy: Vertices in half pixels, shape (V, 2). The last one of a closed line is its first one.
        offsets: Line ``i`` has the vertices ``offsets[i]:offsets[i + 1]``, shape (N + 1,).
        kinds: `KEPT`, `OPEN`, `BENT`, `LOOP` or `RING`, shape (N,).
        guard: Largest distance of a passed vertex from its segment, in half pixels.
        limits: Most vertices that a segment may advance from each vertex, shape (V,); or empty.
        crossing: Bit 1 if a line starts at a crossing of the cut lattice, bit 2 if it ends at one, shape (N,).
        out: Remaining vertices, and all those within `WINDOW_SEGMENTS` of a crossing, shape (V, 2).
        out_offsets: Shape (N + 1,).
        states: State of each vertex, see `geoseg.vector.lines.arcs.PASSED`, shape (V,).
    """
    longest = 2
    for number in range(len(kinds)):
        longest = max(longest, offsets[number + 1] - offsets[number])
    # A closed line is written twice, one copy after the other.
    line, sums = np.empty((2 * longest, 2)), np.zeros((2 * longest + 1, 5))
    costs, squares, path = np.empty(longest), np.empty(longest), np.empty(longest, np.int64)
    segments, before = np.empty(longest, np.int64), np.empty(longest, np.int64)
    out_offsets[0] = size = 0
    for number in range(len(kinds)):
        first, last = offsets[number], offsets[number + 1] - 1
        kind, count = kinds[number], last - first + 1
        limit = limits[first : last + 1] if len(limits) else limits
        if kind == KEPT:
            steps = count - 1
            for step in range(count):
                path[step] = step
        elif kind in (OPEN, BENT):
            _load(xy[first : last + 1], 1, line, sums)
            steps = _simplify_open(
                line, sums, count, kind == BENT, guard, limit, (costs, squares, segments, before, path)
            )
        else:
            _load(xy[first:last], 2, line, sums)
            steps = _simplify_ring(line, sums, count - 1, kind == LOOP, guard, limit, path)
        size = _store(xy[first : last + 1], path, steps, crossing[number], out, states, size)
        out_offsets[number + 1] = size


@compiled
def _store(
    xy: NDArray[np.int32], path: NDArray[np.int64], steps: int, crossing: int,
    out: NDArray[np.int32], states: NDArray[np.uint8], size: int,
) -> int:  # fmt: skip
    """Write the vertices of a polyline, near a crossing also those between; return the number of vertices so far."""
    head = WINDOW_SEGMENTS if crossing & 1 else 0
    tail = steps - WINDOW_SEGMENTS if crossing & 2 else steps
    for step in range(steps + 1):
        before, behind = step <= head or step > tail, step < head or step >= tail
        out[size], states[size] = xy[path[step]], DRAWN if before and behind else FIRM
        if (step == 0 and crossing & 1) or (step == steps and crossing & 2):
            states[size] = CROSSING
        elif step in (0, steps):
            states[size] = FIRM
        size += 1
        if behind and step < steps:
            for vertex in range(path[step] + 1, path[step + 1]):
                out[size], states[size] = xy[vertex], PASSED
                size += 1
    return size


@compiled
def reach_within(
    xy: NDArray[np.int32], offsets: NDArray[np.int64], kinds: NDArray[np.int8], guard: float, spans: NDArray[np.int32]
) -> None:
    """Write how many vertices the farthest segment from each vertex advances; arguments as in `simplify_lines`."""
    longest = 2
    for number in range(len(kinds)):
        longest = max(longest, offsets[number + 1] - offsets[number])
    line, sums, costs = np.empty((2 * longest, 2)), np.zeros((2 * longest + 1, 5)), np.empty(longest)
    for number in range(len(kinds)):
        first, last = offsets[number], offsets[number + 1] - 1
        if kinds[number] == KEPT:
            continue
        closed = kinds[number] == LOOP or kinds[number] == RING
        _load(xy[first : last + 1 - closed], 1 + closed, line, sums)
        for i in range(last - first):
            stop = i + last - first - 1 if kinds[number] == RING else last - first
            spans[first + i] = _farthest(costs, _reach(line, sums, i, stop, guard, costs))


@compiled
def _load(xy: NDArray[np.int32], times: int, line: NDArray[np.float64], sums: NDArray[np.float64]) -> None:
    """Write vertices relative to the first one, and the sums of x, y, x * x, x * y and y * y before each."""
    for at in range(times * len(xy)):
        x, y = float(xy[at % len(xy), 0] - xy[0, 0]), float(xy[at % len(xy), 1] - xy[0, 1])
        line[at, 0], line[at, 1] = x, y
        sums[at + 1, 0] = sums[at, 0] + x
        sums[at + 1, 1] = sums[at, 1] + y
        sums[at + 1, 2] = sums[at, 2] + x * x
        sums[at + 1, 3] = sums[at, 3] + x * y
        sums[at + 1, 4] = sums[at, 4] + y * y


@compiled
def _simplify_open(
    line: NDArray[np.float64], sums: NDArray[np.float64], count: int, bent: bool, guard: float,
    limit: NDArray[np.int32],
    scratch: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
) -> int:  # fmt: skip
    """Write the vertices of the best polyline from end to end to the last array; return the number of its segments."""
    costs, squares, segments, before, path = scratch
    last = count - 1
    segments[:count] = _UNREACHED
    segments[0], squares[0] = 0, 0.0
    for i in range(last):
        # A way through here would not be shorter.
        if segments[i] >= segments[last]:
            continue
        stop = min(last, i + limit[i]) if len(limit) else last
        for span in range(1, _reach(line, sums, i, stop, guard, costs) + 1):
            j, cost = i + span, costs[span - 1]
            if cost == np.inf or segments[i] + 1 > segments[j] or (bent and span == last):
                continue
            if segments[i] + 1 < segments[j] or squares[i] + cost < squares[j]:
                segments[j], squares[j], before[j] = segments[i] + 1, squares[i] + cost, i
    at, steps = last, segments[last]
    for step in range(steps, -1, -1):
        path[step] = at
        at = before[at]
    return int(steps)


@compiled
def _simplify_ring(
    line: NDArray[np.float64], sums: NDArray[np.float64], count: int, fixed: bool, guard: float,
    limit: NDArray[np.int32], path: NDArray[np.int64],
) -> int:  # fmt: skip
    """Write the vertices of the best ring, its first one also at the end; return the number of its segments.

    Each ring has a segment along any chosen edge of the line, so it has a vertex among the ends of the segments that
    pass that edge. The edge with the fewest such vertices is chosen, and each of them is tried as the start. ``line``
    holds the vertices, at least four, twice; with ``fixed`` the first one is the start.
    """
    costs, firsts, farthest = np.empty(16 * count), np.zeros(count + 1, np.int64), np.empty(count, np.int64)
    for i in range(count):
        if firsts[i] + count > len(costs):
            more = np.empty(2 * len(costs) + count)
            more[: firsts[i]] = costs[: firsts[i]]
            costs = more
        last = min(i + count - 1, count) if fixed else i + count - 1
        if len(limit):
            last = min(last, i + limit[i])
        found = costs[firsts[i] :]
        reached = _farthest(found, _reach(line, sums, i, last, guard, found))
        farthest[i], firsts[i + 1] = i + reached, firsts[i] + reached
    begin, tried = 0, 1
    if not fixed:
        far, tried = 0, count + 1
        for i in range(2 * count):
            far = max(far, farthest[i % count] + (count if i >= count else 0))
            if i >= count and far - i < tried:
                begin, tried = i + 1 - count, far - i
    states = (RING_SEGMENTS + 1) * (count + 1)
    segments, squares, before = np.empty(states, np.int64), np.empty(states), np.empty(states, np.int64)
    best, least = _UNREACHED, 0.0
    for start in range(begin, begin + tried):
        total, square = _around(costs, firsts, count, start, best, segments, squares, before)
        if total < best or (total == best and square < least):
            best, least = total, square
            at = states - 1
            for step in range(total, -1, -1):
                vertex = start + at % (count + 1)
                path[step] = vertex if vertex <= count else vertex - count
                at = before[at]
    return best


@compiled
def _around(
    costs: NDArray[np.float64], firsts: NDArray[np.int64], count: int, start: int, most: int,
    segments: NDArray[np.int64], squares: NDArray[np.float64], before: NDArray[np.int64],
) -> tuple[int, float]:  # fmt: skip
    """Find the best ring through a vertex; return its segments and its squared distance.

    The state ``level * (count + 1) + place`` is the best way to vertex ``start + place`` with ``level`` segments, or
    at least as many on the last level.
    """
    width = count + 1
    segments[:] = _UNREACHED
    segments[0], squares[0] = 0, 0.0
    final = len(segments) - 1
    for place in range(count):
        vertex = (start + place) % count
        for level in range(RING_SEGMENTS + 1):
            state = level * width + place
            through = segments[state] + 1
            if through > segments[final] or through > most:
                continue
            onward = min(level + 1, RING_SEGMENTS) * width + place
            for span in range(1, min(firsts[vertex + 1] - firsts[vertex], count - place) + 1):
                cost = costs[firsts[vertex] + span - 1]
                if cost == np.inf or through > segments[onward + span]:
                    continue
                total = squares[state] + cost
                if through < segments[onward + span] or total < squares[onward + span]:
                    segments[onward + span], squares[onward + span] = through, total
                    before[onward + span] = state
    return segments[final], squares[final]


@compiled
def _reach(
    line: NDArray[np.float64], sums: NDArray[np.float64], i: int, last: int, guard: float, costs: NDArray[np.float64]
) -> int:
    """Write the squared distances of the vertices that each segment from ``i`` passes, inf where it is not allowed.

    Returns:
        Number of segments; beyond it, and beyond ``last``, none is allowed.
    """
    guard2, farthest2 = guard * guard, 0.0
    # The left and right border of the cone, and the squared length of the vertex that keeps it there.
    lx = ly = rx = ry = left2 = right2 = 0.0
    # These vertices themselves: the direction decides exactly, the borders only approximately.
    left = right = (0.0, 0.0)
    for j in range(i + 1, last + 1):
        x, y = line[j, 0] - line[i, 0], line[j, 1] - line[i, 1]
        length2 = x * x + y * y
        costs[j - i - 1] = 0.0
        if j > i + 1:
            allowed = length2 > 0 and (left2 == 0 or _is_between(x, y, left, right, guard2 * length2))
            if allowed and farthest2 > length2:
                allowed = _ends_near(line, i, j, guard2)
            costs[j - i - 1] = _squares(line, sums, i, j) if allowed else np.inf
        farthest2 = max(farthest2, length2)
        if length2 > guard2:
            # The vertex turned around the start until it lies at the guard from where it was.
            ahead = np.sqrt(length2 - guard2)
            px, py, qx, qy = x * ahead - y * guard, x * guard + y * ahead, x * ahead + y * guard, y * ahead - x * guard
            if left2 == 0 or lx * py - ly * px < 0:
                lx, ly, left2, left = px, py, length2, (x, y)
            if right2 == 0 or rx * qy - ry * qx > 0:
                rx, ry, right2, right = qx, qy, length2, (x, y)
            if rx * ly - ry * lx < -1e-9 * left2 * right2:
                return j - i
    return last - i


@compiled
def _farthest(costs: NDArray[np.float64], reached: int) -> int:
    """Number of vertices that the farthest allowed segment advances; the first one is always allowed."""
    while costs[reached - 1] == np.inf:
        reached -= 1
    return reached


@compiled
def _is_between(x: float, y: float, left: tuple[float, float], right: tuple[float, float], most: float) -> bool:
    """Return whether a segment along (x, y) passes both vertices ahead and within the guard; ``most`` is squared."""
    over_left, over_right = x * left[1] - y * left[0], x * right[1] - y * right[0]
    ahead = x * left[0] + y * left[1] > 0 and x * right[0] + y * right[1] > 0
    return bool(ahead and (over_left >= 0 or over_left**2 <= most) and (over_right <= 0 or over_right**2 <= most))


@compiled
def _squares(line: NDArray[np.float64], sums: NDArray[np.float64], i: int, j: int) -> float:
    """Sum of the squared distances of the vertices between two from the line through these."""
    ax, ay, n = line[i, 0], line[i, 1], j - i - 1
    ux, uy = line[j, 0] - ax, line[j, 1] - ay
    x, y = sums[j, 0] - sums[i + 1, 0], sums[j, 1] - sums[i + 1, 1]
    xx = sums[j, 2] - sums[i + 1, 2] - 2 * ax * x + n * ax * ax
    xy = sums[j, 3] - sums[i + 1, 3] - ax * y - ay * x + n * ax * ay
    yy = sums[j, 4] - sums[i + 1, 4] - 2 * ay * y + n * ay * ay
    return float(max(0.0, uy * uy * xx - 2 * ux * uy * xy + ux * ux * yy) / (ux * ux + uy * uy))


@compiled
def _ends_near(line: NDArray[np.float64], i: int, j: int, guard2: float) -> bool:
    """Return whether the vertices beyond the end of a segment lie within the guard of that end."""
    ux, uy = line[j, 0] - line[i, 0], line[j, 1] - line[i, 1]
    for k in range(i + 1, j):
        vx, vy = line[k, 0] - line[j, 0], line[k, 1] - line[j, 1]
        if ux * vx + uy * vy > 0 and vx * vx + vy * vy > guard2:
            return False
    return True
