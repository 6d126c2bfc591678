"""Numbers of a scene of 200,000 x 200,000 pixels: places and sums far beyond 32 bits, without its pixels."""

from dataclasses import replace

import numpy as np
import pytest
import shapely

from geoseg.grid.window import Window
from geoseg.vector.blocks import concatenate_polygons, find_block_boundaries, label_block, relabel, trace_block
from geoseg.vector.joining import join_blocks
from geoseg.vector.labels.components import Components, concatenate_components, merge_sums
from geoseg.vector.lines.arcs import FIRM, RIGHT, UP, Arcs
from geoseg.vector.lines.rings import build_polygons
from geoseg.vector.minimum_area import Boundaries, absorb, concatenate_boundaries
from geoseg.vector.not_dissolved import split_at_grid
from geoseg.vector.seams import find_seams, neighbours
from tests.vector.class_maps import HARD, landscape_like

SIDE, CUT = 200_000, 16
MAPS = {"landscape": landscape_like(5, (3 * CUT, 3 * CUT)), "spiral": HARD["spiral that spans everything"]}


def label(classes, start, shape):
    """Blocks of a map that lies at ``start`` of an otherwise empty scene of ``shape``, by their place."""
    blocks = {}
    for row in range(0, classes.shape[0], CUT):
        for col in range(0, classes.shape[1], CUT):
            part = classes[row : row + CUT, col : col + CUT]
            core = Window(start[0] + row, start[1] + col, *part.shape)
            blocks[row // CUT, col // CUT] = label_block(part, part * 9, core, shape[1])
    return blocks


def trace(classes, start, shape, simplify_px, least=1):
    """Polygons of the map, and those that the minimum area changed."""
    blocks = label(classes, start, shape)
    borders = {place: block.border for place, block in blocks.items()}
    if least > 1:
        bounds = [
            find_block_boundaries(block, neighbours(borders, place), shape, cut_px=CUT)
            for place, block in blocks.items()
        ]
        components = concatenate_components([block.components for block in blocks.values()])
        changes = absorb(components, find_seams(borders), concatenate_boundaries(bounds), least)
        merged = np.full_like(classes, 255)
        for (row, col), block in blocks.items():
            merged[row * CUT : (row + 1) * CUT, col * CUT : (col + 1) * CUT] = relabel(block, changes)
        return trace(merged, start, shape, simplify_px)
    traced = [
        trace_block(block, neighbours(borders, place), shape, cut_px=CUT, simplify_px=simplify_px)
        for place, block in blocks.items()
    ]
    return concatenate_polygons(
        [
            *join_blocks([rest for _, rest in traced], find_seams(borders), simplify_px=simplify_px),
            *(found for found, _ in traced),
        ]
    )


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize(("simplify_px", "least"), [(0, 1), (1.5, 1), (0, 6)])
def test_the_far_corner_is_the_near_one_moved(name, simplify_px, least):
    classes = MAPS[name]
    start = SIDE - (-(-len(classes) // CUT) * CUT)
    shape = (start + len(classes),) * 2
    near = trace(classes, (0, 0), classes.shape, simplify_px, least)
    far = trace(classes, (start, start), shape, simplify_px, least)
    row, col = np.divmod(near.first_pixel, classes.shape[1])
    assert far.first_pixel.tolist() == [
        (start + int(r)) * shape[1] + start + int(c) for r, c in zip(row, col, strict=True)
    ]
    assert far.first_pixel.max() > 2**35
    moved = shapely.transform(near.geometry, lambda xy: xy + start)
    assert shapely.to_wkb(far.geometry).tolist() == shapely.to_wkb(moved).tolist()
    for column in ("class_id", "pixels", "confidence_sum"):
        assert getattr(far, column).tolist() == getattr(near, column).tolist()


def test_classes_that_are_not_dissolved_are_cut_alike_in_the_far_corner():
    near = split_at_grid(MAPS["landscape"], Window(0, 0, 48, 48), 3, (0, 1))
    far = split_at_grid(MAPS["landscape"], Window(199_998, 199_980, 48, 48), 3, (0, 1))
    assert np.array_equal(near, far)


def test_rings_as_long_as_the_scene():
    """One component around another; the sign of an area of 4e10 pixels tells the shell from the hole."""
    outer = [(0, 0), (SIDE, 0), (SIDE, SIDE), (0, SIDE), (0, 0)]
    inner = [(1, 1), (SIDE - 1, 1), (SIDE - 1, SIDE - 2), (1, SIDE - 2), (1, 1)]
    arcs = Arcs(
        2 * np.array(outer + inner, np.int32), np.array([0, 5, 10]), np.array([-1, 0]), np.array([0, SIDE + 1]),
        np.array([RIGHT, RIGHT], np.uint8), np.array([UP, UP], np.uint8), np.full(10, FIRM, np.uint8),
        np.zeros(2, np.uint8),
    )  # fmt: skip
    shell, island = build_polygons(arcs, np.array([0, SIDE + 1]))
    assert shapely.is_valid([shell, island]).all()
    assert len(shell.interiors) == 1
    assert island.equals(shapely.box(1, 1, SIDE - 1, SIDE - 2))
    assert shell.equals(shapely.difference(shapely.box(0, 0, SIDE, SIDE), island))


def huge(first, class_id, pixels):
    return Components(
        np.array(first, np.int64), np.array(class_id, np.uint8), np.array(pixels, np.int64),
        np.array(pixels, np.int64) * 255,
    )  # fmt: skip


def test_sums_over_blocks_pass_32_bits():
    parts = huge([7, 30_000_000_000, 39_999_999_999], [3, 3, 1], [2**31 - 1, 40_000_000_000 - 2**31, 1])
    found = merge_sums(parts, np.array([7, 7, 39_999_999_999]))
    assert found.pixels.tolist() == [39_999_999_999, 1]
    assert found.confidence_sum.tolist() == [255 * 39_999_999_999, 255]


def test_joined_polygons_keep_sums_that_pass_32_bits():
    blocks = label(np.ones((CUT, 2 * CUT), np.uint8), (SIDE - CUT, SIDE - 2 * CUT), (SIDE, SIDE))
    borders = {place: block.border for place, block in blocks.items()}
    rests = []
    for place, block in blocks.items():
        _, rest = trace_block(block, neighbours(borders, place), (SIDE, SIDE), cut_px=CUT, simplify_px=0)
        sums = replace(rest.components, pixels=np.array([2**34]), confidence_sum=np.array([255 * 2**34]))
        rests.append(replace(rest, components=sums))
    (polygons,) = join_blocks(rests, find_seams(borders), simplify_px=0)
    assert polygons.pixels.tolist() == [2**35]
    assert polygons.confidence_sum.tolist() == [255 * 2**35]
    assert polygons.first_pixel.tolist() == [(SIDE - CUT) * SIDE + SIDE - 2 * CUT]
    west, south = SIDE - 2 * CUT, SIDE - CUT
    assert polygons.geometry[0].equals(shapely.box(west, south, SIDE, SIDE))


def test_minimum_area_of_components_and_boundaries_that_pass_32_bits():
    """A component of one pixel too few goes to the neighbour with the longer boundary, by one."""
    names = [5, 20_000_000_000, 39_999_999_998, 39_999_999_999]
    components = huge(names, [0, 1, 2, 2], [2**33, 2**33, 2**32, 2**32 - 2])
    pairs = np.array([[names[0], names[2]], [names[1], names[2]], [names[1], names[3]]])
    seams = np.array([[names[2], names[3]]])
    for extra, chosen in ((0, 0), (1, 1)):
        boundaries = Boundaries(pairs, np.array([2**32 + 1, 2**32, extra + 1]))
        assert absorb(components, seams, boundaries, 2**33 - 2).names.tolist() == []
        changes = absorb(components, seams, boundaries, 2**33 - 1)
        assert changes.names.tolist() == names[2:]
        assert changes.class_id.tolist() == [chosen, chosen]
