"""The stages from class map to polygons, block by block; the result is that of the whole raster, whatever the blocks.

`label_block` needs a block alone, `trace_block` its neighbours' borders, `geoseg.vector.joining.join_blocks` what
reaches over block borders.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.grid.legend import NODATA_CLASS
from geoseg.grid.neighbours import Place
from geoseg.grid.window import Window
from geoseg.vector.arcs import Arcs, Corners, arcs_beside, find_corners, trace_arcs
from geoseg.vector.attributes import concatenate, concatenate_areas
from geoseg.vector.component_ids import is_among
from geoseg.vector.components import NO_COMPONENT, Components, Runs, find_components
from geoseg.vector.minimum_area import Boundaries, Changes, find_boundaries
from geoseg.vector.polygons import PixelPolygons
from geoseg.vector.rings import PIXELS, Affine, build_polygons
from geoseg.vector.seams import BlockBorder, blank_border, find_border, surround
from geoseg.vector.simplify import simplify_arcs


@dataclass(frozen=True, slots=True)
class BlockLabels:
    """The components of a block, and where they lie."""

    core: Window
    """The block's window in the scene."""
    labels: Runs
    """Row in ``components`` of each pixel, int32; -1 for nodata."""
    components: Components
    """The components as this block sees them, by first pixel."""
    border: BlockBorder
    """What the neighbours need."""


@dataclass(frozen=True, slots=True)
class OpenPolygons:
    """What a block holds of the components that may go on in other blocks."""

    components: Components
    """Its part of them, by first pixel."""
    arcs: Arcs
    """The arcs it owns beside these parts or beside its neighbours."""


def label_block(classes: NDArray[np.uint8], confidence: NDArray[np.uint8], core: Window, width: int) -> BlockLabels:
    """Find the components of a block.

    Args:
        classes: Class ids of the core, shape (H, W); 255 is nodata.
        confidence: Confidence 0..255 of each pixel, shape (H, W).
        core: The block's window in the scene.
        width: Columns of the scene.
    """
    classes, confidence = np.ascontiguousarray(classes), np.ascontiguousarray(confidence)
    labels, components = find_components(classes, confidence, core, width)
    return BlockLabels(core, labels, components, find_border(labels, components, core.width))


def blank_labels(core: Window) -> BlockLabels:
    """A block that holds nodata alone."""
    offsets, starts = np.arange(core.height + 1), np.zeros(core.height, np.int32)
    labels = Runs(offsets, starts, np.full(core.height, NO_COMPONENT, np.int32))
    return BlockLabels(core, labels, concatenate([]), blank_border(core.shape))


def bound_block(
    block: BlockLabels, around: Mapping[Place, BlockBorder], shape: tuple[int, int], *, cut_px: int
) -> Boundaries:
    """Measure the boundaries that a block owns; arguments as of `trace_block`."""
    _, arcs = _trace(block, around, shape, cut_px)
    return find_boundaries(arcs)


def relabel(block: BlockLabels, changes: Changes) -> NDArray[np.uint8]:
    """Class map of a block after `absorb` has changed classes, shape (H, W)."""
    components = block.components
    found = is_among(components.first_pixel, changes.names)
    class_id = components.class_id.copy()
    class_id[found] = changes.class_id[np.searchsorted(changes.names, components.first_pixel[found])]
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
    """Trace and simplify the arcs of a block, and finish the polygons that lie inside it.

    Args:
        block: The block; its borders lie on the cut lattice or the scene's rim.
        around: Rims of its neighbours, up to eight, by their distance in blocks.
        shape: Rows and columns of the scene.
        cut_px: Period of the cut lattice.
        simplify_px: Square root of the largest triangle that a line may lose at one time; 0 keeps every corner.
        transform: Where the polygons are placed.

    Returns:
        The polygons of the components that touch no other block; what `geoseg.vector.joining.join_blocks` needs of the
        others.
    """
    corners, arcs = _trace(block, around, shape, cut_px)
    if simplify_px:
        arcs = simplify_arcs(arcs, corners, block.core, cut_px, simplify_px)
    names, rim, is_open = block.components.first_pixel, block.border, np.zeros(len(block.components), np.bool_)
    for step, edge in (((-1, 0), rim.north), ((1, 0), rim.south), ((0, -1), rim.west), ((0, 1), rim.east)):
        if step in around:
            is_open[np.searchsorted(names, edge.names[edge.names != NO_COMPONENT])] = True
    finished = block.components.take(~is_open)
    polygons = as_polygons(build_polygons(arcs, finished.first_pixel, transform), finished)
    beyond = np.concatenate([names[is_open], *_names_before(around, block.core)])
    arcs = arcs_beside(arcs, np.unique(beyond[beyond != NO_COMPONENT]))
    return polygons, OpenPolygons(block.components.take(is_open), arcs)


def as_polygons(geometry: NDArray[Any], sums: Components) -> PixelPolygons:
    """Put geometries, shape (N,), beside what is known of their components."""
    return PixelPolygons(geometry, sums.class_id, sums.first_pixel, sums.pixels, sums.confidence_sum, sums.area_units)


def collect(parts: Iterable[PixelPolygons]) -> PixelPolygons:
    """Put polygons into one table, by first pixel."""
    names, parts = ("geometry", "class_id", "first_pixel", "pixels", "confidence_sum"), list(parts)
    geometry, class_id, first_pixel, pixels, total = (
        np.concatenate(column)
        for column in zip(*([getattr(part, name) for name in names] for part in parts), strict=True)
    )
    areas = concatenate_areas(part.area_units for part in parts if len(part))
    return PixelPolygons(geometry, class_id, first_pixel, pixels, total, areas).take(np.argsort(first_pixel))


def _trace(
    block: BlockLabels, around: Mapping[Place, BlockBorder], shape: tuple[int, int], cut_px: int
) -> tuple[Corners, Arcs]:
    """Corners and unsimplified arcs of a block."""
    classes = replace(block.labels, values=_classes(block.labels, block.components.class_id))
    corners = find_corners(surround(classes, block.core.width, around), block.core, shape, cut_px)
    north, west = _names_before(around, block.core)
    return corners, trace_arcs(corners, block.core, block.labels, block.components.first_pixel, north, west)


def _classes(labels: Runs, class_id: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Class of each run, given that of each component; shape (R,)."""
    # The label -1, nodata, finds the last entry.
    return np.asarray(np.append(class_id, np.uint8(NODATA_CLASS))[labels.values])


def _names_before(around: Mapping[Place, BlockBorder], core: Window) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Names of the components in the row north of the core and in the column west of it."""
    north = around[-1, 0].south.names if (-1, 0) in around else np.full(core.width, NO_COMPONENT, np.int64)
    west = around[0, -1].east.names if (0, -1) in around else np.full(core.height, NO_COMPONENT, np.int64)
    return north, west
