"""The rule of `geoseg.vector.lines.simplify`, written down plainly: start lines, allowed segments, the fewest of them.

All coordinates are in half pixels, as those of arcs.
"""

from itertools import pairwise
from math import inf

import numpy as np

from geoseg.vector.labels.components import NO_COMPONENT
from geoseg.vector.lines.arcs import PASSED

EPSILON = 1e-9


def points_of(arcs, arc):
    """Vertices of an arc; not those near a crossing that the line passes over."""
    part = slice(*arcs.offsets[arc : arc + 2])
    return [tuple(point) for point in arcs.xy[part][arcs.states[part] != PASSED].tolist()]


def start_line(corners, closed):
    """Vertices of the line through the middles of pixel edges; of a closed one without the last, which is the first."""
    line = [] if closed else [corners[0]]
    for (x, y), (nx, ny) in pairwise(corners):
        steps = (abs(nx - x) + abs(ny - y)) // 2
        dx, dy = (nx - x) // (2 * steps), (ny - y) // (2 * steps)
        middles = [(x + (2 * k + 1) * dx, y + (2 * k + 1) * dy) for k in range(steps)]
        line += [middles[0]] if steps == 1 else [middles[0], middles[-1]]
    return line if closed else [*line, corners[-1]]


def points_on(line):
    """The vertices of a line and all middles of pixel edges on it."""
    found = set(line)
    for (x, y), (nx, ny) in pairwise(line):
        if x == nx or y == ny:
            steps = max(abs(nx - x), abs(ny - y))
            between = {(x + (nx - x) * k // steps, y + (ny - y) * k // steps) for k in range(1, steps)}
            found |= {point for point in between if sum(point) % 2}
    return found


def distance2(p, a, b):
    """Squared distance of a point to a segment."""
    ux, uy, vx, vy = b[0] - a[0], b[1] - a[1], p[0] - a[0], p[1] - a[1]
    length2 = ux * ux + uy * uy
    along = min(1, max(0, (ux * vx + uy * vy) / length2)) if length2 else 0
    return (vx - along * ux) ** 2 + (vy - along * uy) ** 2


def squared(p, a, b):
    """Squared distance of a point to the line of a segment."""
    ux, uy, vx, vy = b[0] - a[0], b[1] - a[1], p[0] - a[0], p[1] - a[1]
    return (ux * vy - uy * vx) ** 2 / (ux * ux + uy * uy)


def encloses(ring, p):
    """Whether a point lies on a ring or an odd number of times inside it."""
    odd = False
    for a, b in zip(ring, [*ring[1:], ring[0]], strict=True):
        if distance2(p, a, b) < EPSILON:
            return True
        if (a[1] > p[1]) != (b[1] > p[1]):
            odd ^= p[0] < a[0] + (p[1] - a[1]) * (b[0] - a[0]) / (b[1] - a[1])
    return odd


class Rule:
    """Which segments of one start line are allowed."""

    def __init__(self, line, closed, guard, all_points, swept):
        self.line, self.closed, self.guard2, self.points, self.swept = line, closed, guard * guard, all_points, swept

    def part(self, i, j):
        return [self.line[k % len(self.line)] for k in range(i, j + 1)]

    def allows(self, i, j):
        part = self.part(i, j)
        a, *passed, b = part
        if not passed:
            return True
        if a == b or any(distance2(p, a, b) > self.guard2 + EPSILON for p in passed):
            return False
        others = self.points - points_on(part)
        low, high = np.min(part, axis=0), np.max(part, axis=0)
        near = [p for p in others if (low <= p).all() and (high >= p).all()]
        regions = [[a, p, q] for p, q in pairwise(part[1:])] if self.swept else [part]
        return not any(encloses(region, p) for region in regions for p in near)

    def cost(self, i, j):
        part = self.part(i, j)
        return sum(squared(p, part[0], part[-1]) for p in part[1:-1])

    def best(self, least, starts):
        """Fewest segments, at least so many, and their squared distances, from any start along or once around."""
        count = len(self.line)
        most = count if self.closed else count - 1
        edges = {
            (i, j): self.cost(i, j)
            for i in range(count)
            for j in range(i + 1, (i + count if self.closed else count))
            if self.allows(i, j)
        }
        found = (inf, inf)
        for start in starts:
            ways = {(start, 0): (0, 0.0)}
            for i in range(start, start + most):
                for level in range(least + 1):
                    for j in range(i + 1, start + most + 1):
                        cost = edges.get((i % count, j - i + i % count))
                        if (i, level) in ways and cost is not None:
                            way, state = ways[i, level], (j, min(level + 1, least))
                            ways[state] = min(ways.get(state, (inf, inf)), (way[0] + 1, way[1] + cost))
            found = min(found, ways.get((start + most, least), (inf, inf)))
        return found


def kinds_of(arcs, nodes, cut_px):
    """For each arc: None if it stays, else whether it is a ring, and its fewest segments."""
    lines = [points_of(arcs, arc) for arc in range(len(arcs))]
    ends = [{line[0], line[-1]} for line in lines]
    for arc, line in enumerate(lines):
        if min(arcs.left[arc], arcs.right[arc]) == NO_COMPONENT:
            yield None
        elif len(ends[arc]) == 1:
            yield line[0] not in nodes, 4
        else:
            on_cut = any(line[0][k] == line[-1][k] and line[0][k] % (2 * cut_px) == 0 for k in range(2))
            yield False, 1 + int((on_cut or ends.count(ends[arc]) > 1) and len(line) > 2)
