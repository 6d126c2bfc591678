"""The steps from class map to polygons, block by block. The result does not depend on the blocks.

`label_block` needs one block, `trace_block` also the borders of its neighbours. `geoseg.vector.joining.join_blocks`
builds the polygons that span blocks.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.grid.legend import NODATA_CLASS
from geoseg.grid.neighbours import Place
from geoseg.grid.window import Window
from geoseg.vector.labels.component_ids import is_among
from geoseg.vector.labels.components import (
    NO_COMPONENT,
    Components,
    Runs,
    concatenate_components,
    concatenate_sums,
    find_components,
    sum_planes,
)
from geoseg.vector.lines.arcs import Arcs, Corners, arcs_beside, find_corners, trace_arcs
from geoseg.vector.lines.crossings import join_crossings
from geoseg.vector.lines.rings import PIXELS, Affine, build_polygons
from geoseg.vector.lines.simplify import crossing_guard, simplify_arcs
from geoseg.vector.minimum_area import Boundaries, Changes, absorb, concatenate_boundaries, find_boundaries
from geoseg.vector.polygons import PixelPolygons
from geoseg.vector.seams import BlockBorder, add_halo, blank_border, find_border, find_seams, neighbours


@dataclass(frozen=True, slots=True)
class BlockLabels:
    """The components of a block and the label of each pixel."""

    core: Window
    """The block's window in the scene."""
    labels: Runs
    """Row in ``components`` of each pixel, int32; -1 for nodata."""
    components: Components
    """The parts of the components that lie in this block, by first pixel."""
    border: BlockBorder
    """What the neighbouring blocks need."""


@dataclass(frozen=True, slots=True)
class OpenPolygons:
    """The parts and arcs of components that may extend into other blocks."""

    components: Components
    """The parts in this block, by first pixel."""
    arcs: Arcs
    """The block's arcs that bound these parts or parts of its neighbours."""


def label_block(
    classes: NDArray[np.uint8],
    confidence: NDArray[np.uint8],
    core: Window,
    width: int,
    planes: NDArray[np.uint8] | None = None,
) -> BlockLabels:
    """Find the components of a block.

    Args:
        classes: Class ids of the core, shape (H, W); 255 is nodata.
        confidence: Confidence 0..255 of each pixel, shape (H, W).
        core: The block's window in the scene.
        width: Columns of the scene.
        planes: Further values of each pixel that are summed, shape (L, H, W).
    """
    classes, confidence = np.ascontiguousarray(classes), np.ascontiguousarray(confidence)
    labels, components = find_components(classes, confidence, core, width)
    if planes is not None:
        components = replace(components, layer_sums=sum_planes(labels, planes, len(components)))
    return BlockLabels(core, labels, components, find_border(labels, components, core.width))


def blank_labels(core: Window) -> BlockLabels:
    """Labels of a block without a valid pixel."""
    offsets, starts = np.arange(core.height + 1), np.zeros(core.height, np.int32)
    labels = Runs(offsets, starts, np.full(core.height, NO_COMPONENT, np.int32))
    return BlockLabels(core, labels, concatenate_components([]), blank_border(core.shape))


def find_block_boundaries(
    block: BlockLabels, around: Mapping[Place, BlockBorder], shape: tuple[int, int], *, cut_px: int
) -> Boundaries:
    """Measure the boundaries that a block owns; arguments as in `trace_block`."""
    _, _, arcs = _trace(block, around, shape, cut_px)
    return find_boundaries(arcs)


def absorb_small(
    labelled: Iterable[tuple[Place, BlockLabels]],
    borders: Mapping[Place, BlockBorder],
    shape: tuple[int, int],
    *,
    cut_px: int,
    min_area_px: int,
) -> Changes:
    """Choose a class for each component of a scene below a minimum area, see `geoseg.vector.minimum_area.absorb`.

    Args:
        labelled: All blocks, each with its row and column in the grid of blocks.
        borders: The borders of all blocks.
        shape: Rows and columns of the scene.
        cut_px: Period of the cut lattice.
        min_area_px: Smallest number of pixels of a component that keeps its class.
    """
    components, boundaries = [], []
    for place, block in labelled:
        components.append(block.components)
        boundaries.append(find_block_boundaries(block, neighbours(borders, place), shape, cut_px=cut_px))
    graph = concatenate_components(components), find_seams(borders), concatenate_boundaries(boundaries)
    return absorb(*graph, min_area_px)


def relabel(block: BlockLabels, changes: Changes) -> NDArray[np.uint8]:
    """Class map of a block after `absorb` has changed classes, shape (H, W)."""
    components = block.components
    changed = is_among(components.first_pixel, changes.names)
    class_id = components.class_id.copy()
    class_id[changed] = changes.class_id[np.searchsorted(changes.names, components.first_pixel[changed])]
    return np.asarray(block.labels.spread(_classes(block.labels, class_id), block.core.width))


def trace_block(
    block: BlockLabels,
    around: Mapping[Place, BlockBorder],
    shape: tuple[int, int],
    *,
    cut_px: int,
    simplify_px: float,
    transform: Affine = PIXELS,
) -> tuple[PixelPolygons, OpenPolygons]:
    """Trace and simplify the arcs of a block, and build the polygons that touch no other block.

    Args:
        block: The block; its borders lie on the cut lattice or the scene's edge.
        around: Borders of its up to eight neighbours, by their step from it, see `geoseg.vector.seams.neighbours`.
        shape: Rows and columns of the scene.
        cut_px: Period of the cut lattice.
        simplify_px: Bound of the lines, see `geoseg.vector.lines.simplify.simplify_arcs`; 0 keeps every corner.
        transform: Affine transform of the polygons' coordinates.

    Returns:
        The polygons of the components that touch no other block; the input of `geoseg.vector.joining.join_blocks` for
        the others.
    """
    classes, corners, arcs = _trace(block, around, shape, cut_px)
    arcs = simplify_arcs(arcs, corners, classes, block.core, cut_px, simplify_px)
    names, border, is_open = block.components.first_pixel, block.border, np.zeros(len(block.components), np.bool_)
    for step, edge in (((-1, 0), border.north), ((1, 0), border.south), ((0, -1), border.west), ((0, 1), border.east)):
        if step in around:
            is_open[np.searchsorted(names, edge.names[edge.names != NO_COMPONENT])] = True
    finished = block.components.take(~is_open)
    whole = join_crossings(arcs, crossing_guard(simplify_px))
    polygons = as_polygons(build_polygons(whole, finished.first_pixel, transform), finished)
    open_names = np.concatenate([names[is_open], *_names_before(around, block.core)])
    arcs = arcs_beside(arcs, np.unique(open_names[open_names != NO_COMPONENT]))
    return polygons, OpenPolygons(block.components.take(is_open), arcs)


def as_polygons(geometry: NDArray[Any], sums: Components) -> PixelPolygons:
    """Put geometries, shape (N,), beside what is known of their components."""
    columns = (sums.class_id, sums.first_pixel, sums.pixels, sums.confidence_sum, sums.area_units, sums.layer_sums)
    return PixelPolygons(geometry, *columns)


def concatenate_polygons(parts: Iterable[PixelPolygons]) -> PixelPolygons:
    """Concatenate polygons, sorted by first pixel."""
    names, parts = ("geometry", "class_id", "first_pixel", "pixels", "confidence_sum"), list(parts)
    geometry, class_id, first_pixel, pixels, total = (
        np.concatenate(column)
        for column in zip(*([getattr(part, name) for name in names] for part in parts), strict=True)
    )
    areas = concatenate_sums(part.area_units for part in parts if len(part))
    layers = concatenate_sums(part.layer_sums for part in parts if len(part))
    return PixelPolygons(geometry, class_id, first_pixel, pixels, total, areas, layers).take(np.argsort(first_pixel))


def _trace(
    block: BlockLabels, around: Mapping[Place, BlockBorder], shape: tuple[int, int], cut_px: int
) -> tuple[Runs, Corners, Arcs]:
    """Find the classes with a halo of one pixel, the corners and the unsimplified arcs of a block."""
    classes = replace(block.labels, values=_classes(block.labels, block.components.class_id))
    classes = add_halo(classes, block.core.width, around)
    corners = find_corners(classes, block.core, shape, cut_px)
    north, west = _names_before(around, block.core)
    return classes, corners, trace_arcs(corners, block.core, block.labels, block.components.first_pixel, north, west)


def _classes(labels: Runs, class_id: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Class of each run, given the class of each component; shape (R,)."""
    # The label -1, nodata, selects the last entry.
    return np.asarray(np.append(class_id, np.uint8(NODATA_CLASS))[labels.values])


def _names_before(around: Mapping[Place, BlockBorder], core: Window) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Names of the components in the row north and in the column west of the core."""
    north = around[-1, 0].south.names if (-1, 0) in around else np.full(core.width, NO_COMPONENT, np.int64)
    west = around[0, -1].east.names if (0, -1) in around else np.full(core.height, NO_COMPONENT, np.int64)
    return north, west
