"""Holes: small ones take the class around them, with everything inside, so no gap is left.

A *hole* of a component is a group of components that only leads to nodata or to the scene's edge through it. In the
graph of components it is what an articulation point cuts off (Hopcroft and Tarjan 1973): a search in depth from the
outside finds all holes of all components in one pass. Two holes lie apart, or one in the other.
"""

import numpy as np
from numpy.typing import NDArray

from geoseg.vector.component_graph import Graph
from geoseg.vector.labels.compiled import compiled


def fill_holes(graph: Graph, least: NDArray[np.int64]) -> NDArray[np.int64]:
    """Find the components in holes that are too small.

    A hole has the pixels of all components inside it. Of small holes in each other the outermost is filled. Nodata is
    never filled, so a hole around nodata is none.

    Args:
        graph: All components, with those that touch the outside.
        least: Smallest number of pixels of a hole that stays in each component, shape (N,).

    Returns:
        Row of the component around the small hole in which each component lies, else its own row; shape (N,).
    """
    starts, target, _ = graph.neighbours()
    into = np.arange(len(graph.components))
    _fill(starts, target, graph.components.pixels, least, into)
    return into


@compiled
def _fill(
    starts: NDArray[np.int64], target: NDArray[np.int64], pixels: NDArray[np.int64], least: NDArray[np.int64],
    into: NDArray[np.int64],
) -> None:  # fmt: skip
    """Write the rows; ``starts[i]:starts[i + 1]`` are the neighbours of component ``i``, at last of the outside."""
    outside = len(pixels)
    # The order in which the search reaches components, and the place of each in it.
    order, place = np.empty(outside + 1, np.int64), np.full(outside + 1, -1)
    # The component from which each was reached, and the first place beside it and those reached from it.
    above, lowest = np.empty(outside + 1, np.int64), np.empty(outside + 1, np.int64)
    # Pixels of each and of those reached from it, which end at a place.
    inside, end, edge = np.zeros(outside + 1, np.int64), np.empty(outside + 1, np.int64), starts.copy()
    inside[:outside] = pixels
    order[0], place[outside], lowest[outside], above[outside] = outside, 0, 0, outside
    reached, at = 1, outside
    while True:
        if edge[at] < starts[at + 1]:
            other = target[edge[at]]
            edge[at] += 1
            if place[other] >= 0:
                lowest[at] = min(lowest[at], place[other])
                continue
            order[reached], place[other], lowest[other], above[other] = other, reached, reached, at
            reached += 1
            at = other
            continue
        end[at] = reached
        if at == outside:
            break
        lowest[above[at]] = min(lowest[above[at]], lowest[at])
        inside[above[at]] += inside[at]
        at = above[at]
    number = 1
    while number < reached:
        at = order[number]
        around = above[at]
        if around != outside and lowest[at] >= place[around] and inside[at] < least[around]:
            for within in range(number, end[at]):
                into[order[within]] = around
            number = end[at]
        else:
            number += 1
