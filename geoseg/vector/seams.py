"""Seams between blocks: the border that a block gives its neighbours, and components that continue across it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoseg.grid.legend import NODATA_CLASS
from geoseg.grid.neighbours import NEIGHBOUR_STEPS, Place
from geoseg.vector.labels.components import NO_COMPONENT, Components, Runs


@dataclass(frozen=True, slots=True)
class Edge:
    """One of the four outermost rows or columns of a block, from north to south or from west to east."""

    classes: NDArray[np.uint8]
    """Class ids, shape (L,)."""
    names: NDArray[np.int64]
    """Name of the component of each pixel: its first pixel in this block; -1 for none; shape (L,)."""


@dataclass(frozen=True, slots=True)
class BlockBorder:
    """The four edges of a block, which its neighbours need."""

    north: Edge
    """First row."""
    south: Edge
    """Last row."""
    west: Edge
    """First column."""
    east: Edge
    """Last column."""


_OUTERMOST = {-1: 0, 1: -1}
"""Index of the outermost row or column on the side of a step."""


def neighbours(borders: Mapping[Place, BlockBorder], place: Place) -> dict[Place, BlockBorder]:
    """Borders of the up to eight neighbours of a block, by their step from it: (-1, 0) is north."""
    places = {step: (place[0] + step[0], place[1] + step[1]) for step in NEIGHBOUR_STEPS}
    return {step: borders[other] for step, other in places.items() if other in borders}


def find_border(labels: Runs, components: Components, width: int) -> BlockBorder:
    """Find the border of a block.

    Args:
        labels: Row in ``components`` of each pixel, -1 for none.
        components: The components of the block.
        width: Columns of the block.
    """
    # One more entry, which the label -1 selects.
    names = np.append(components.first_pixel, NO_COMPONENT)
    classes = np.append(components.class_id, np.uint8(NODATA_CLASS))
    rows = (slice(*labels.offsets[:2]), slice(*labels.offsets[-2:]))
    north, south = (np.repeat(labels.values[row], np.diff(labels.starts[row], append=width)) for row in rows)
    west, east = labels.values[labels.offsets[:-1]], labels.values[labels.offsets[1:] - 1]
    return BlockBorder(*(Edge(classes[line], names[line]) for line in (north, south, west, east)))


def blank_border(shape: tuple[int, int]) -> BlockBorder:
    """Border of a block of ``shape`` (height, width) without a valid pixel."""
    edges = (
        Edge(np.full(length, NODATA_CLASS, np.uint8), np.full(length, NO_COMPONENT, np.int64))
        for length in (shape[1], shape[1], shape[0], shape[0])
    )
    return BlockBorder(*edges)


def add_halo(classes: Runs, width: int, around: Mapping[Place, BlockBorder]) -> Runs:
    """Add a halo of one pixel from the neighbours of a block.

    Args:
        classes: Class ids of the block, (H, W) in all.
        width: Columns of the block.
        around: Borders of its up to eight neighbours, by their step from it, see `neighbours`.

    Returns:
        Class ids, (H + 2, W + 2) in all; 255 where there is no neighbour.
    """
    height = len(classes.offsets) - 1
    rows = {down: np.full(width + 2, NODATA_CLASS, np.uint8) for down in (-1, 1)}
    cols = {across: np.full(height, NODATA_CLASS, np.uint8) for across in (-1, 1)}
    for (down, across), border in around.items():
        if not down:
            cols[across] = (border.east if across < 0 else border.west).classes
            continue
        line = (border.south if down < 0 else border.north).classes
        if across:
            rows[down][_OUTERMOST[across]] = line[_OUTERMOST[-across]]
        else:
            rows[down][1:-1] = line
    # Every pixel of the halo is a run: two rows, and two more runs in each row of the block.
    every = np.arange(width + 2, dtype=np.int32)
    offsets = width + 2 + classes.offsets + 2 * np.arange(height + 1)
    starts, values = (np.empty(offsets[-1] + width + 2, dtype) for dtype in (np.int32, np.uint8))
    moved = offsets[:-1] + 1 - classes.offsets[:-1]
    inside = np.arange(len(classes.starts)) + np.repeat(moved, np.diff(classes.offsets))
    starts[inside], values[inside] = classes.starts + 1, classes.values
    starts[offsets[:-1]], values[offsets[:-1]] = 0, cols[-1]
    starts[offsets[1:] - 1], values[offsets[1:] - 1] = width + 1, cols[1]
    starts[: width + 2], values[: width + 2] = every, rows[-1]
    starts[-width - 2 :], values[-width - 2 :] = every, rows[1]
    return Runs(np.concatenate([[0], offsets, [len(starts)]]), starts, values)


def find_seams(borders: Mapping[Place, BlockBorder]) -> NDArray[np.int64]:
    """Find the components of neighbouring blocks that share pixel sides and have the same class.

    Args:
        borders: Borders of all blocks of the scene, or of any of them with their east and south neighbours.

    Returns:
        Pairs of names, shape (N, 2), without duplicates.
    """
    pairs = [np.empty((0, 2), np.int64)]
    for (row, col), border in borders.items():
        for edge, place, other in ((border.south, (row + 1, col), "north"), (border.east, (row, col + 1), "west")):
            if place in borders:
                facing: Edge = getattr(borders[place], other)
                same = (edge.classes == facing.classes) & (edge.classes != NODATA_CLASS)
                pairs.append(np.unique(np.stack([edge.names[same], facing.names[same]], axis=1), axis=0))
    return np.concatenate(pairs)


def concatenate_seams(parts: Iterable[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Concatenate the pairs of several blocks, shape (N, 2)."""
    return np.concatenate([np.empty((0, 2), np.int64), *parts])
