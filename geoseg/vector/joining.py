"""Finish the polygons that touch block borders, so many at a time that memory is bounded by what one of them takes."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from geoseg.vector.arcs import Arcs, arcs_beside, concatenate_arcs
from geoseg.vector.attributes import concatenate, merge_sums
from geoseg.vector.blocks import OpenPolygons, as_polygons
from geoseg.vector.component_ids import is_among, rename
from geoseg.vector.components import Components
from geoseg.vector.polygons import PixelPolygons
from geoseg.vector.rings import PIXELS, Affine, build_polygons, find_rings
from geoseg.vector.seams import unite

BATCH_VERTICES = 1 << 21
"""Vertices of the lines that are joined at a time, unless one polygon alone has more; 70 to 140 bytes each."""


def join_blocks(
    blocks: Sequence[OpenPolygons],
    seams: NDArray[np.int64],
    transform: Affine = PIXELS,
    *,
    batch_vertices: int = BATCH_VERTICES,
) -> Iterator[PixelPolygons]:
    """Finish the polygons that touch block borders.

    Args:
        blocks: What all blocks of a scene left unfinished, in any order. Each is asked for once for each batch that
            needs it and twice before, so they may lie in files.
        seams: Pairs of names that are one component, shape (P, 2), as `find_seams` returns them.
        transform: Where the polygons are placed.
        batch_vertices: Vertices of a batch. It cannot change the polygons.

    Yields:
        The polygons in batches, by first pixel throughout; at least one batch, which may be empty.
    """
    components, count = [], 0
    for block in blocks:
        components.append(block.components)
        count += len(block.arcs.xy)
    parts = concatenate(components)
    parts = parts.take(np.argsort(parts.first_pixel))
    whole = unite(parts.first_pixel, seams)
    sums = merge_sums(parts, whole)
    if count <= batch_vertices:
        arcs = concatenate_arcs([_rename_sides(block.arcs, parts, whole) for block in blocks])
        yield as_polygons(build_polygons(arcs, sums.first_pixel, transform), sums)
        return
    vertices, present = _weigh(blocks, parts, whole, sums)
    batch = (np.cumsum(vertices) - vertices) // batch_vertices
    starts = np.flatnonzero(np.diff(batch, prepend=-1))
    for first, stop in pairwise([*starts.tolist(), len(sums)]):
        chosen = sums.take(np.arange(first, stop))
        holders = [at for at, rows in enumerate(present) if ((rows >= first) & (rows < stop)).any()]
        beside = (arcs_beside(_rename_sides(blocks[at].arcs, parts, whole), chosen.first_pixel) for at in holders)
        # Neither arcs nor rings may stay in memory beside the polygons.
        yield as_polygons(find_rings(concatenate_arcs(list(beside)), chosen.first_pixel, transform).build(), chosen)


def _weigh(
    blocks: Sequence[OpenPolygons], parts: Components, whole: NDArray[np.int64], sums: Components
) -> tuple[NDArray[np.int64], list[NDArray[np.int64]]]:
    """Count the vertices around each component; list for each block the rows in ``sums`` of those it has lines of."""
    vertices, present = np.zeros(len(sums), np.int64), []
    for block in blocks:
        arcs = _rename_sides(block.arcs, parts, whole)
        sides, lengths = np.concatenate([arcs.left, arcs.right]), np.tile(np.diff(arcs.offsets), 2)
        known = is_among(sides, sums.first_pixel)
        rows, place = np.unique(np.searchsorted(sums.first_pixel, sides[known]), return_inverse=True)
        vertices[rows] += np.bincount(place, lengths[known], len(rows)).astype(np.int64)
        present.append(rows)
    return vertices, present


def _rename_sides(arcs: Arcs, parts: Components, whole: NDArray[np.int64]) -> Arcs:
    """Let arcs name the whole components beside them."""
    left, right = (rename(side, parts.first_pixel, whole) for side in (arcs.left, arcs.right))
    return replace(arcs, left=left, right=right)
