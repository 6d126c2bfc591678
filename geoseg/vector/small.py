"""Small holes and small components: which class they take. Nothing of it leaves a gap."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from geoseg.vector.component_graph import Boundaries, build_graph, unite_parts
from geoseg.vector.holes import fill_holes
from geoseg.vector.labels.component_ids import rename
from geoseg.vector.labels.components import Components
from geoseg.vector.minimum_area import absorb
from geoseg.vector.smallest import Smallest


@dataclass(frozen=True, slots=True)
class Changes:
    """New classes of components."""

    names: NDArray[np.int64]
    """Names of the components, ascending, shape (N,)."""
    class_id: NDArray[np.uint8]
    """New class of each, shape (N,)."""


def change_small(
    components: Components, seams: NDArray[np.int64], boundaries: Boundaries, smallest: Smallest
) -> Changes:
    """Fill small holes, see `geoseg.vector.holes`; then absorb small components, see `geoseg.vector.minimum_area`.

    A component counts with the holes that were filled in it.

    Args:
        components: The components of all blocks, in any order.
        seams: Pairs of names that are one component, shape (S, 2).
        boundaries: The boundaries of all blocks.
        smallest: Sizes that stay.

    Returns:
        The parts of components, as the blocks name them, whose class changes.
    """
    whole = unite_parts(components, seams)
    graph = build_graph(components, whole, boundaries)
    of_class, names = graph.components.class_id, graph.components.first_pixel
    if smallest.hole.is_set:
        into = names[fill_holes(graph, smallest.hole.for_classes(of_class, smallest.not_dissolved))]
        around = of_class[np.searchsorted(names, into)]
        parts = replace(components, class_id=around[np.searchsorted(names, whole)])
        graph = build_graph(parts, rename(whole, names, into), boundaries)
    else:
        into = names
    class_id = absorb(graph, smallest.area.for_classes(graph.components.class_id, smallest.not_dissolved))
    taken = class_id[np.searchsorted(graph.components.first_pixel, into)]
    changed = taken[np.searchsorted(names, whole)]
    order = np.argsort(components.first_pixel)
    order = order[changed[order] != components.class_id[order]]
    return Changes(components.first_pixel[order], changed[order])
