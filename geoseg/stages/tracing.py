"""The stages from finished blocks to polygons, as plain functions around `geoseg.vector`, from store to store.

Without a minimum area each block is traced once its neighbours are finished. With one, the blocks are passed twice:
first for the graph of components, which decides which components take the class of a neighbour, then for the polygons.
"""

from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from geoseg import faults
from geoseg.grid.neighbours import NEIGHBOUR_STEPS, Place, blocks_at
from geoseg.grid.tiling import Block
from geoseg.plan.scene_plan import ScenePlan
from geoseg.publish.polygon_table import build_table
from geoseg.publish.wkb import to_wkb
from geoseg.stages.metrics import UnitMetrics, UnitTimer
from geoseg.stages.scoring import find_labels, stored_pixels
from geoseg.store.scene_store import GRAPHS, MERGED, TRACED, Graph, OpenBlock
from geoseg.vector.blocks import BlockLabels, find_block_boundaries, relabel, trace_block
from geoseg.vector.labels.components import concatenate_components
from geoseg.vector.minimum_area import absorb, concatenate_boundaries
from geoseg.vector.not_dissolved import without_aliases
from geoseg.vector.polygonize import polygonize
from geoseg.vector.polygons import PixelPolygons
from geoseg.vector.seams import BlockBorder, concatenate_seams, find_seams


def load_kernels() -> None:
    """Compile the loops of finishing and tracing before the first block."""
    to_wkb(polygonize(np.eye(8, dtype=np.uint8), simplify_px=1.0, cut_px=4, block_px=4).geometry)


def find_graph(plan: ScenePlan, block: Block) -> UnitMetrics:
    """Find a block's components, their common boundaries and the seams to its neighbours."""
    faults.hit("graph", "start", block.name)
    timer = UnitTimer("trace")
    neighbours = blocks_at(plan.tiling, block, NEIGHBOUR_STEPS)
    if plan.store.is_blank(block, *neighbours.values()):
        return timer.metrics(bytes=plan.store.put_empty(GRAPHS, block))
    labels, around = plan.store.labels(block), plan.store.borders(neighbours)
    boundaries = find_block_boundaries(labels, around, plan.scene.grid.window.shape, cut_px=plan.cut_px)
    stored_bytes = plan.store.put_graph(block, Graph(labels.components, boundaries, _seams(labels, around)))
    faults.hit("graph", "end", block.name)
    return timer.metrics(bytes=stored_bytes)


def absorb_small(plan: ScenePlan) -> UnitMetrics:
    """Find the components below the minimum area on the graph of the whole scene, and the class that each takes."""
    faults.hit("absorb", "start", plan.scene.scene_id)
    timer = UnitTimer("trace")
    graphs = plan.store.graphs(plan.tiling.blocks())
    changes = absorb(
        concatenate_components([graph.components for graph in graphs]),
        concatenate_seams(graph.seams for graph in graphs),
        concatenate_boundaries([graph.boundaries for graph in graphs]),
        plan.polygons.min_area_px,
    )
    stored_bytes = plan.store.put_changes(changes)
    faults.hit("absorb", "end", plan.scene.scene_id)
    return timer.metrics(bytes=stored_bytes)


def relabel_block(plan: ScenePlan, block: Block) -> UnitMetrics:
    """Give small components of a block their new class, and store the components that result."""
    faults.hit("relabel", "start", block.name)
    timer = UnitTimer("trace")
    if plan.store.is_blank(block):
        return timer.metrics(bytes=plan.store.put_empty(MERGED, block))
    changed = relabel(plan.store.labels(block), plan.store.changes())
    classes = without_aliases(changed, plan.polygons.not_dissolved)
    merged = find_labels(plan, stored_pixels(plan, block, classes))
    stored_bytes = plan.store.put_labels(MERGED, block, merged)
    faults.hit("relabel", "end", block.name)
    return timer.metrics(bytes=stored_bytes)


def trace_polygons(plan: ScenePlan, block: Block) -> UnitMetrics:
    """Trace a block whose neighbours are finished; store its closed polygons, open polygons and seams."""
    faults.hit("trace", "start", block.name)
    timer = UnitTimer("trace")
    neighbours, merged = blocks_at(plan.tiling, block, NEIGHBOUR_STEPS), plan.polygons.has_min_area
    if plan.store.is_blank(block, *neighbours.values()):
        return timer.metrics(bytes=plan.store.put_empty(TRACED, block))
    labels, around = plan.store.labels(block, merged=merged), plan.store.borders(neighbours, merged=merged)
    closed, open_polygons = trace_block(
        labels,
        around,
        plan.scene.grid.window.shape,
        cut_px=plan.cut_px,
        simplify_px=plan.polygons.simplify_px,
        transform=plan.scene.grid.transform,
    )
    stored_bytes = plan.store.put_traced(
        block, polygon_table(plan, closed), OpenBlock(open_polygons, _seams(labels, around))
    )
    faults.hit("trace", "end", block.name)
    return timer.metrics(bytes=stored_bytes)


def polygon_table(plan: ScenePlan, polygons: PixelPolygons) -> pa.Table:
    """Build the table of the polygons that are published, with their attributes."""
    polygons = replace(polygons, class_id=without_aliases(polygons.class_id, plan.polygons.not_dissolved))
    if plan.polygons.classes is not None:
        polygons = polygons.take(np.isin(polygons.class_id, plan.polygons.classes))
    return build_table(
        polygons,
        plan.scene.grid,
        plan.legend,
        cut_px=plan.cut_px,
        crs=plan.polygons.crs,
        observed_at=plan.observed_at,
        model=plan.model,
        layers=plan.decision.layers,
    )


def _seams(labels: BlockLabels, around: dict[Place, BlockBorder]) -> NDArray[np.int64]:
    after = {step: border for step, border in around.items() if step in {(0, 1), (1, 0)}}
    return find_seams({(0, 0): labels.border, **after})
