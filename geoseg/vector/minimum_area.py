"""Minimum area: small components take the class of a neighbour, so no gap is left.

The input is the graph of components: their sizes and the lengths of their common boundaries. No pixels are read.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoseg.vector.labels.compiled import compiled
from geoseg.vector.labels.component_ids import is_among, rename
from geoseg.vector.labels.components import NO_COMPONENT, Components, merge_sums
from geoseg.vector.labels.union_find import unite
from geoseg.vector.lines.arcs import Arcs


@dataclass(frozen=True, slots=True)
class Boundaries:
    """Boundaries between two components, N in all."""

    names: NDArray[np.int64]
    """Names of the two components, shape (N, 2), the smaller first."""
    length_px: NDArray[np.int64]
    """Number of pixel edges, shape (N,)."""


@dataclass(frozen=True, slots=True)
class Changes:
    """New classes of components."""

    names: NDArray[np.int64]
    """Names of the components, ascending, shape (N,)."""
    class_id: NDArray[np.uint8]
    """New class of each, shape (N,)."""


def find_boundaries(arcs: Arcs) -> Boundaries:
    """Measure the boundaries in unsimplified arcs. Arcs beside nodata or on the scene's edge do not count."""
    steps = np.abs(np.diff(arcs.xy, axis=0, prepend=np.int32(0))).sum(axis=1, dtype=np.int64)
    # The step to the first vertex of an arc belongs to no arc.
    steps[arcs.offsets[:-1]] = 0
    lengths = np.diff(np.concatenate([[0], np.cumsum(steps)])[arcs.offsets])
    lengths //= 2  # vertices are in half pixels
    names = np.sort(np.stack([arcs.left, arcs.right], axis=1), axis=1)
    keep = names[:, 0] != NO_COMPONENT
    return _add_up(names[keep], lengths[keep])


def concatenate_boundaries(parts: Sequence[Boundaries]) -> Boundaries:
    """Concatenate the boundaries of several blocks."""
    return Boundaries(
        np.concatenate([np.empty((0, 2), np.int64), *(part.names for part in parts)]),
        np.concatenate([np.empty(0, np.int64), *(part.length_px for part in parts)]),
    )


def absorb(components: Components, seams: NDArray[np.int64], boundaries: Boundaries, min_pixels: int) -> Changes:
    """Choose a class for each component that is too small.

    Components with at least ``min_pixels`` keep their class: it is final. In each round all small components beside a
    final component become final: each takes the class of the final neighbour with the longest common boundary, on ties
    of the lowest class, then of the smallest first pixel. Where nodata encloses small components only, the largest of
    them keeps its class, on ties that of the lowest class, then of the smallest first pixel.

    Args:
        components: The components of all blocks, in any order.
        seams: Pairs of names that are one component, shape (P, 2).
        boundaries: The boundaries of all blocks.
        min_pixels: Smallest number of pixels of a component that keeps its class.

    Returns:
        The parts of components, as the blocks name them, whose class changes.
    """
    parts = np.sort(components.first_pixel)
    whole = unite(parts, seams)
    graph = merge_sums(components, rename(components.first_pixel, parts, whole))
    edges = _add_up(np.sort(rename(boundaries.names, parts, whole), axis=1), boundaries.length_px)
    ends = np.searchsorted(graph.first_pixel, edges.names)

    final = graph.pixels >= min_pixels
    island = unite(graph.first_pixel, edges.names)
    order = np.lexsort((graph.first_pixel, graph.class_id, -graph.pixels, island))
    final[order[np.unique(island[order], return_index=True)[1]]] = True

    source, target = np.concatenate([ends[:, 0], ends[:, 1]]), np.concatenate([ends[:, 1], ends[:, 0]])
    by_source = np.argsort(source, kind="stable")
    starts = np.searchsorted(source[by_source], np.arange(len(graph) + 1))
    class_id = graph.class_id.copy()
    _absorb(starts, target[by_source], np.tile(edges.length_px, 2)[by_source], final, class_id)
    changed = class_id != graph.class_id
    chosen = is_among(whole, graph.first_pixel[changed])
    return Changes(parts[chosen], class_id[np.searchsorted(graph.first_pixel, whole[chosen])])


def _add_up(names: NDArray[np.int64], lengths: NDArray[np.int64]) -> Boundaries:
    """Add the lengths of boundaries between the same two components."""
    if not len(names):
        return Boundaries(names, lengths)
    order = np.lexsort([names[:, 1], names[:, 0]])
    names, lengths = names[order], lengths[order]
    first = np.flatnonzero(np.append(True, (names[1:] != names[:-1]).any(axis=1)))
    return Boundaries(names[first], np.add.reduceat(lengths, first))


@compiled
def _absorb(
    starts: NDArray[np.int64], target: NDArray[np.int64], lengths: NDArray[np.int64], final: NDArray[np.bool_],
    class_id: NDArray[np.uint8],
) -> None:  # fmt: skip
    """Change ``class_id`` of components that are not final; ``starts[i]:starts[i + 1]`` are the boundaries of ``i``."""
    order, reached = np.empty(len(final), np.int64), final.copy()
    large = np.flatnonzero(final)
    begin, end = 0, len(large)
    order[:end] = large
    while begin < end:
        # Choose the classes of the whole round before any of its components becomes final.
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
                if final[target[edge]] and (best < 0 or _is_better(lengths, class_id, target, edge, best)):
                    best = edge
            class_id[order[at]] = class_id[target[best]]
        for at in range(last, end):
            final[order[at]] = True
        begin = last


@compiled
def _is_better(
    lengths: NDArray[np.int64], class_id: NDArray[np.uint8], target: NDArray[np.int64], edge: int, best: int
) -> bool:
    """Compare two boundaries of one component: longer first, then lower class, then smaller first pixel."""
    one, other = target[edge], target[best]
    if lengths[edge] != lengths[best]:
        return bool(lengths[edge] > lengths[best])
    if class_id[one] != class_id[other]:
        return bool(class_id[one] < class_id[other])
    return bool(one < other)
