"""Let small components take the class of a neighbour, so that no gap is left.

Decided on the graph of components, their sizes and the lengths of their common boundaries; no pixel is needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoseg.vector.arcs import Arcs
from geoseg.vector.attributes import merge_sums
from geoseg.vector.compiled import compiled
from geoseg.vector.component_ids import is_among, rename
from geoseg.vector.components import NO_COMPONENT, Components
from geoseg.vector.seams import unite


@dataclass(frozen=True, slots=True)
class Boundaries:
    """Boundaries between two components, N in all."""

    names: NDArray[np.int64]
    """First pixels of the two, shape (N, 2), the smaller first."""
    cracks: NDArray[np.int64]
    """Length in pixel sides, shape (N,)."""


@dataclass(frozen=True, slots=True)
class Changes:
    """New classes of components."""

    names: NDArray[np.int64]
    """First pixels, ascending, shape (N,)."""
    class_id: NDArray[np.uint8]
    """Class that each takes, shape (N,)."""


def find_boundaries(arcs: Arcs) -> Boundaries:
    """Measure unsimplified arcs; those beside nodata or the scene's rim do not count."""
    steps = np.abs(np.diff(arcs.xy, axis=0, prepend=np.int32(0))).sum(axis=1, dtype=np.int64)
    # The step to the first vertex of an arc belongs to none.
    steps[arcs.offsets[:-1]] = 0
    cracks = np.diff(np.concatenate([[0], np.cumsum(steps)])[arcs.offsets])
    names = np.sort(np.stack([arcs.left, arcs.right], axis=1), axis=1)
    keep = names[:, 0] != NO_COMPONENT
    return _add_up(names[keep], cracks[keep])


def concatenate_boundaries(parts: Sequence[Boundaries]) -> Boundaries:
    """Put the boundaries that several blocks own into one table."""
    return Boundaries(
        np.concatenate([np.empty((0, 2), np.int64), *(part.names for part in parts)]),
        np.concatenate([np.empty(0, np.int64), *(part.cracks for part in parts)]),
    )


def absorb(components: Components, seams: NDArray[np.int64], boundaries: Boundaries, min_pixels: int) -> Changes:
    """Choose a class for each component that is too small.

    Inwards in rounds: a small component beside one that is large enough, or was placed in an earlier round, takes the
    class of that neighbour with which it shares the longest boundary, then of the lowest class, then of the first
    pixel. Where nodata encloses small components alone, the largest of them, then that of the lowest class, then the
    first one, stands for a large one: its pixels are neither lost nor left as specks.

    Args:
        components: The components of all blocks, in any order.
        seams: Pairs of names that are one component, shape (P, 2).
        boundaries: The boundaries of all blocks.
        min_pixels: Least number of pixels of a component that keeps its class.

    Returns:
        The components, as the blocks know them, whose class changes.
    """
    parts = np.sort(components.first_pixel)
    whole = unite(parts, seams)
    graph = merge_sums(components, rename(components.first_pixel, parts, whole))
    edges = _add_up(np.sort(rename(boundaries.names, parts, whole), axis=1), boundaries.cracks)
    ends = np.searchsorted(graph.first_pixel, edges.names)

    placed = graph.pixels >= min_pixels
    island = unite(graph.first_pixel, edges.names)
    order = np.lexsort((graph.first_pixel, graph.class_id, -graph.pixels, island))
    placed[order[np.unique(island[order], return_index=True)[1]]] = True

    source, target = np.concatenate([ends[:, 0], ends[:, 1]]), np.concatenate([ends[:, 1], ends[:, 0]])
    by_source = np.argsort(source, kind="stable")
    starts = np.searchsorted(source[by_source], np.arange(len(graph) + 1))
    class_id = graph.class_id.copy()
    _absorb(starts, target[by_source], np.tile(edges.cracks, 2)[by_source], placed, class_id)
    changed = class_id != graph.class_id
    chosen = is_among(whole, graph.first_pixel[changed])
    return Changes(parts[chosen], class_id[np.searchsorted(graph.first_pixel, whole[chosen])])


def _add_up(names: NDArray[np.int64], cracks: NDArray[np.int64]) -> Boundaries:
    """Add the lengths of boundaries between the same two components."""
    if not len(names):
        return Boundaries(names, cracks)
    order = np.lexsort([names[:, 1], names[:, 0]])
    names, cracks = names[order], cracks[order]
    first = np.flatnonzero(np.append(True, (names[1:] != names[:-1]).any(axis=1)))
    return Boundaries(names[first], np.add.reduceat(cracks, first))


@compiled
def _absorb(
    starts: NDArray[np.int64], target: NDArray[np.int64], cracks: NDArray[np.int64], placed: NDArray[np.bool_],
    class_id: NDArray[np.uint8],
) -> None:  # fmt: skip
    """Change ``class_id`` of what is not placed; the boundaries of node ``i`` are ``starts[i]:starts[i + 1]``."""
    order, reached = np.empty(len(placed), np.int64), placed.copy()
    large = np.flatnonzero(placed)
    begin, end = 0, len(large)
    order[:end] = large
    while begin < end:
        # All of one round are chosen before any is placed.
        last = end
        for at in range(begin, last):
            for edge in range(starts[order[at]], starts[order[at] + 1]):
                if not reached[target[edge]]:
                    reached[target[edge]] = True
                    order[end] = target[edge]
                    end += 1
        for at in range(last, end):
            best = -1
            for edge in range(starts[order[at]], starts[order[at] + 1]):
                if placed[target[edge]] and (best < 0 or _is_better(cracks, class_id, target, edge, best)):
                    best = edge
            class_id[order[at]] = class_id[target[best]]
        for at in range(last, end):
            placed[order[at]] = True
        begin = last


@compiled
def _is_better(
    cracks: NDArray[np.int64], class_id: NDArray[np.uint8], target: NDArray[np.int64], edge: int, best: int
) -> bool:
    """Compare two boundaries of one component: the longest, then the lowest class, then the first pixel."""
    one, other = target[edge], target[best]
    if cracks[edge] != cracks[best]:
        return bool(cracks[edge] > cracks[best])
    if class_id[one] != class_id[other]:
        return bool(class_id[one] < class_id[other])
    return bool(one < other)
