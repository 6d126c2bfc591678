"""The stages from finished blocks to polygons, as plain functions around `geoseg.vector`.

Without a minimum area each block is traced once its neighbours are finished. With one, the blocks are passed twice:
first for the graph of components, which decides who takes whose class, then for the polygons.
"""

from dataclasses import dataclass, replace
from time import perf_counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoseg.grid.blend import ClassMap
from geoseg.grid.tiling import Block
from geoseg.publish.polygons import build_table
from geoseg.publish.sorting import save_table
from geoseg.run.plan import ScenePlan
from geoseg.run.stages import Cost, find_labels
from geoseg.vector.attributes import concatenate
from geoseg.vector.blocks import BlockLabels, Unfinished, bound_block, recolour, trace_block
from geoseg.vector.components import Components
from geoseg.vector.minimum_area import Boundaries, Changes, absorb, concatenate_boundaries
from geoseg.vector.polygons import PixelPolygons
from geoseg.vector.seams import Place, Rim, find_seams
from geoseg.vector.undissolved import without_aliases


@dataclass(frozen=True, slots=True)
class Graph:
    """A block's part of the graph of components."""

    components: Components
    boundaries: Boundaries
    seams: NDArray[np.int64]
    """Pairs of components of this block and its east and south neighbours that are one, shape (P, 2)."""


class Traced(NamedTuple):
    """Values of `trace_finished`."""

    cost: Cost
    unfinished: Unfinished
    """What goes on in other blocks."""
    seams: NDArray[np.int64]
    """As in `Graph`."""


def find_graph(plan: ScenePlan, block: Block, steps: tuple[Place, ...], *rims: Rim) -> tuple[Cost, Graph]:
    """Find a block's components, their common boundaries and what goes on beyond its borders.

    Args:
        plan: The scene.
        block: The block.
        steps: Where the neighbours lie, as (rows, columns) of blocks from it.
        rims: Their rims, in the same order.
    """
    started = perf_counter()
    labels, around = find_labels(plan, plan.store.get_block(block)), dict(zip(steps, rims, strict=True))
    boundaries = bound_block(labels, around, _shape(plan), cut_px=_cut_px(plan))
    graph = Graph(labels.components, boundaries, _seams(labels, around))
    return Cost("trace", perf_counter() - started), graph


def absorb_small(plan: ScenePlan, *graphs: Graph) -> tuple[Cost, Changes]:
    """Decide on the whole scene's graph which components are too small and whose class they take."""
    started = perf_counter()
    changes = absorb(
        concatenate([graph.components for graph in graphs]),
        np.concatenate([graph.seams for graph in graphs]),
        concatenate_boundaries([graph.boundaries for graph in graphs]),
        plan.polygons.min_area_px,
    )
    return Cost("trace", perf_counter() - started), changes


def recolour_block(plan: ScenePlan, block: Block, changes: Changes) -> tuple[Cost, Rim]:
    """Give small components of a block their new class, keep it beside the class map, and show its new rim."""
    started = perf_counter()
    finished = plan.store.get_block(block)
    classes = without_aliases(recolour(find_labels(plan, finished), changes), plan.polygons.undissolved)
    merged = ClassMap(block.core, classes, finished.confidence)
    stored_bytes = plan.store.put_block(block, merged, merged=True)
    return Cost("trace", perf_counter() - started, stored_bytes), find_labels(plan, merged).rim


def trace_finished(plan: ScenePlan, block: Block, steps: tuple[Place, ...], *rims: Rim) -> Traced:
    """Trace a block, keep the polygons that lie inside it in the store; arguments as of `find_graph`."""
    started = perf_counter()
    labels = find_labels(plan, plan.store.get_block(block, merged=plan.polygons.min_area_px > 1))
    around = dict(zip(steps, rims, strict=True))
    polygons, unfinished = trace_block(
        labels, around, _shape(plan), cut_px=_cut_px(plan), simplify_px=plan.polygons.simplify_px
    )
    kept_bytes = keep_polygons(plan, block.name, polygons)
    return Traced(Cost("trace", perf_counter() - started, kept_bytes), unfinished, _seams(labels, around))


def keep_polygons(plan: ScenePlan, name: str, polygons: PixelPolygons) -> int:
    """Give polygons their attributes and keep them in the store until the scene is published; the bytes they take."""
    polygons = replace(polygons, class_id=without_aliases(polygons.class_id, plan.polygons.undissolved))
    if plan.polygons.classes is not None:
        polygons = polygons.take(np.isin(polygons.class_id, plan.polygons.classes))
    table = build_table(
        polygons,
        plan.scene.grid,
        plan.legend,
        stride_px=_cut_px(plan),
        crs=plan.polygons.crs,
        observed_at=plan.observed_at,
        model=plan.model,
    )
    return save_table(plan.store.polygons_of(name), table)


def _seams(labels: BlockLabels, around: dict[Place, Rim]) -> NDArray[np.int64]:
    after = {step: rim for step, rim in around.items() if step in {(0, 1), (1, 0)}}
    return find_seams({(0, 0): labels.rim, **after})


def _shape(plan: ScenePlan) -> tuple[int, int]:
    return plan.scene.grid.height, plan.scene.grid.width


def _cut_px(plan: ScenePlan) -> int:
    return plan.tiling.lattice.rows.stride_px
