"""The graph of components: their sizes, and the lengths of their common boundaries. No pixels are read."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoseg.vector.labels.component_ids import rename
from geoseg.vector.labels.components import NO_COMPONENT, Components, merge_sums
from geoseg.vector.labels.union_find import unite
from geoseg.vector.lines.arcs import Arcs


@dataclass(frozen=True, slots=True)
class Boundaries:
    """Boundaries between two components, or between one and nodata or the scene's edge; N in all."""

    names: NDArray[np.int64]
    """Names of the two components, shape (N, 2), the smaller first; -1 is nodata and what lies outside the scene."""
    length_px: NDArray[np.int64]
    """Number of pixel edges, shape (N,)."""


@dataclass(frozen=True, slots=True)
class Graph:
    """The components of a scene and their boundaries, E in all."""

    components: Components
    """Whole components, N in all, by first pixel."""
    ends: NDArray[np.int64]
    """Rows of the two components of each boundary, shape (E, 2); N is nodata and what lies outside the scene."""
    length_px: NDArray[np.int64]
    """Number of pixel edges of each boundary, shape (E,)."""

    def neighbours(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Neighbours of each component and of the outside.

        Returns:
            Offsets, shape (N + 2,); rows of the neighbours of one after the other, shape (2 E,); the lengths of the
            boundaries with these, shape (2 E,).
        """
        source, target = np.concatenate([self.ends, self.ends[:, ::-1]]).T
        order = np.argsort(source, kind="stable")
        starts = np.searchsorted(source[order], np.arange(len(self.components) + 2))
        return starts, target[order], np.tile(self.length_px, 2)[order]

    def within(self) -> "Graph":
        """The graph without the outside."""
        keep = self.ends[:, 1] < len(self.components)
        return Graph(self.components, self.ends[keep], self.length_px[keep])


def find_boundaries(arcs: Arcs) -> Boundaries:
    """Measure the boundaries in unsimplified arcs."""
    steps = np.abs(np.diff(arcs.xy, axis=0, prepend=np.int32(0))).sum(axis=1, dtype=np.int64)
    # The step to the first vertex of an arc belongs to no arc.
    steps[arcs.offsets[:-1]] = 0
    lengths = np.diff(np.concatenate([[0], np.cumsum(steps)])[arcs.offsets])
    lengths //= 2  # vertices are in half pixels
    return _add_up(np.sort(np.stack([arcs.left, arcs.right], axis=1), axis=1), lengths)


def concatenate_boundaries(parts: Sequence[Boundaries]) -> Boundaries:
    """Concatenate the boundaries of several blocks."""
    return Boundaries(
        np.concatenate([np.empty((0, 2), np.int64), *(part.names for part in parts)]),
        np.concatenate([np.empty(0, np.int64), *(part.length_px for part in parts)]),
    )


def build_graph(components: Components, whole: NDArray[np.int64], boundaries: Boundaries) -> Graph:
    """Put the parts of a scene's graph together.

    Args:
        components: Parts of components, in any order.
        whole: Name of the component that each part belongs to, shape (P,).
        boundaries: The boundaries of all blocks.
    """
    merged = merge_sums(components, whole)
    order = np.argsort(components.first_pixel)
    names = rename(boundaries.names, components.first_pixel[order], whole[order])
    # Rows instead of names: the outside, -1, is the last one.
    rows = np.where(names == NO_COMPONENT, len(merged), np.searchsorted(merged.first_pixel, names))
    edges = _add_up(np.sort(rows, axis=1), boundaries.length_px)
    apart = edges.names[:, 0] != edges.names[:, 1]
    return Graph(merged, edges.names[apart], edges.length_px[apart])


def unite_parts(components: Components, seams: NDArray[np.int64]) -> NDArray[np.int64]:
    """Name of the component that each part belongs to, shape (P,).

    Args:
        components: Parts of components, in any order.
        seams: Pairs of names that are one component, shape (S, 2).
    """
    parts = np.sort(components.first_pixel)
    return rename(components.first_pixel, parts, unite(parts, seams))


def _add_up(names: NDArray[np.int64], lengths: NDArray[np.int64]) -> Boundaries:
    """Add the lengths of boundaries between the same two components."""
    if not len(names):
        return Boundaries(names, lengths)
    order = np.lexsort([names[:, 1], names[:, 0]])
    names, lengths = names[order], lengths[order]
    first = np.flatnonzero(np.append(True, (names[1:] != names[:-1]).any(axis=1)))
    return Boundaries(names[first], np.add.reduceat(lengths, first))
