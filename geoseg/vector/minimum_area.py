"""Minimum area: small components take the class of a neighbour, so no gap is left."""

import numpy as np
from numpy.typing import NDArray

from geoseg.vector.component_graph import Graph
from geoseg.vector.labels.compiled import compiled
from geoseg.vector.labels.union_find import unite


def absorb(graph: Graph, least: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Choose a class for each component that is too small.

    Components with at least their ``least`` pixels keep their class: it is final. In each round all small components
    beside a final component become final: each takes the class of the final neighbour with the longest common boundary,
    on ties of the lowest class, then of the smallest first pixel. Where nodata encloses small components only, the
    largest of them keeps its class, on ties that of the lowest class, then of the smallest first pixel.

    Args:
        graph: All components.
        least: Smallest number of pixels at which each keeps its class, shape (N,).

    Returns:
        Class of each component, shape (N,).
    """
    graph, components = graph.within(), graph.components
    rows, final = np.arange(len(components)), components.pixels >= least
    island = unite(rows, graph.ends)
    order = np.lexsort((rows, components.class_id, -components.pixels, island))
    final[order[np.unique(island[order], return_index=True)[1]]] = True
    class_id = components.class_id.copy()
    _absorb(*graph.neighbours(), final, class_id)
    return class_id


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
