"""Build the polygons that span blocks, in batches of bounded size."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from geoseg.vector.blocks import OpenPolygons, as_polygons
from geoseg.vector.labels.component_ids import is_among, rename
from geoseg.vector.labels.components import Components, concatenate_components, merge_sums
from geoseg.vector.labels.union_find import unite
from geoseg.vector.lines.arcs import Arcs, arcs_beside, concatenate_arcs
from geoseg.vector.lines.crossings import join_crossings
from geoseg.vector.lines.rings import PIXELS, Affine, build_polygons, find_rings
from geoseg.vector.lines.simplify import crossing_guard
from geoseg.vector.polygons import PixelPolygons

BATCH_VERTICES = 1 << 21
"""Vertices of a batch, unless one polygon has more; a vertex takes 70 to 140 bytes."""


def join_blocks(
    blocks: Sequence[OpenPolygons],
    seams: NDArray[np.int64],
    transform: Affine = PIXELS,
    *,
    simplify_px: float,
    batch_vertices: int = BATCH_VERTICES,
) -> Iterator[PixelPolygons]:
    """Build the polygons of the components that touch block borders.

    Args:
        blocks: Open polygons of all blocks of a scene, in any order. Each item is read twice, and once more for each
            batch that needs it, so the items may be read from files.
        seams: Pairs of names that are one component, shape (P, 2), as `find_seams` returns them.
        transform: Affine transform of the polygons' coordinates.
        simplify_px: The bound of the blocks' lines.
        batch_vertices: Vertices of a batch. It cannot change the polygons.

    Yields:
        Batches of polygons, sorted by first pixel over all batches; at least one batch, which may be empty.
    """
    components, count = [], 0
    for block in blocks:
        components.append(block.components)
        count += len(block.arcs.xy)
    guard = crossing_guard(simplify_px)
    parts = concatenate_components(components)
    parts = parts.take(np.argsort(parts.first_pixel))
    whole = unite(parts.first_pixel, seams)
    sums = merge_sums(parts, whole)
    if count <= batch_vertices:
        arcs = concatenate_arcs([_rename_sides(block.arcs, parts, whole) for block in blocks])
        arcs = join_crossings(arcs, guard)
        yield as_polygons(build_polygons(arcs, sums.first_pixel, transform), sums)
        return
    vertices, present = _count_vertices(blocks, parts, whole, sums)
    batch = (np.cumsum(vertices) - vertices) // batch_vertices
    starts = np.flatnonzero(np.diff(batch, prepend=-1))
    for first, stop in pairwise([*starts.tolist(), len(sums)]):
        chosen = sums.take(np.arange(first, stop))
        needed = [at for at, rows in enumerate(present) if ((rows >= first) & (rows < stop)).any()]
        beside = (arcs_beside(_rename_sides(blocks[at].arcs, parts, whole), chosen.first_pixel) for at in needed)
        # No name for the arcs and rings, so that they are freed before the polygons are built.
        rings = find_rings(join_crossings(concatenate_arcs(list(beside)), guard), chosen.first_pixel, transform)
        yield as_polygons(rings.build(), chosen)


def _count_vertices(
    blocks: Sequence[OpenPolygons], parts: Components, whole: NDArray[np.int64], sums: Components
) -> tuple[NDArray[np.int64], list[NDArray[np.int64]]]:
    """Count the vertices of each component's arcs; list for each block the rows in ``sums`` of its components."""
    vertices, present = np.zeros(len(sums), np.int64), []
    for block in blocks:
        arcs = _rename_sides(block.arcs, parts, whole)
        sides, lengths = np.concatenate([arcs.left, arcs.right]), np.tile(np.diff(arcs.offsets), 2)
        known = is_among(sides, sums.first_pixel)
        rows, index = np.unique(np.searchsorted(sums.first_pixel, sides[known]), return_inverse=True)
        vertices[rows] += np.bincount(index, lengths[known], len(rows)).astype(np.int64)
        present.append(rows)
    return vertices, present


def _rename_sides(arcs: Arcs, parts: Components, whole: NDArray[np.int64]) -> Arcs:
    """Replace the names of parts on both sides of arcs by the names of the whole components."""
    left, right = (rename(side, parts.first_pixel, whole) for side in (arcs.left, arcs.right))
    return replace(arcs, left=left, right=right)
