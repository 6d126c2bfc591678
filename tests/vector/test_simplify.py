"""Simplified arcs, against a plain search for the smallest triangle."""

import numpy as np
import pytest

from geoseg.grid.window import Window
from geoseg.vector.blocks import label_block
from geoseg.vector.lines.arcs import VERTEX, find_corners, trace_arcs
from geoseg.vector.lines.simplify import simplify_arcs
from geoseg.vector.polygonize import polygonize
from tests.vector.class_maps import as_runs, draw, landscape_like


def trace(classes, cut_px):
    """Corners and arcs of a scene in one block."""
    core = Window(0, 0, *classes.shape)
    block = label_block(classes, classes, core, core.width)
    corners = find_corners(as_runs(np.pad(classes, 1, constant_values=255)), core, classes.shape, cut_px)
    nothing = np.full(max(classes.shape), -1)
    names = block.components.first_pixel
    return core, corners, trace_arcs(corners, core, block.labels, names, nothing[: core.width], nothing[: core.height])


def doubled_area(a, b, c):
    return abs((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))


def holds_another(triangle, vertices):
    a, b, c = triangle
    whole = doubled_area(a, b, c)
    return any(
        doubled_area(a, b, v) + doubled_area(b, c, v) + doubled_area(a, c, v) == whole
        and (whole or (min(triangle) <= v <= max(triangle)))
        for v in vertices
        if v not in triangle
    )


def thinned(line, least, vertices, tolerance_px):
    """The oracle: take the smallest triangle that may go until there is none."""
    inner = list(range(1, len(line) - 1))
    while len(inner) > least:
        kept = [0, *inner, len(line) - 1]
        triangles = [(tuple(line[k] for k in kept[i - 1 : i + 2]), kept[i]) for i in range(1, len(kept) - 1)]
        areas = sorted((doubled_area(*triangle), at, triangle) for triangle, at in triangles)
        may_go = [at for area, at, triangle in areas
                  if area <= 2 * tolerance_px**2 and not holds_another(triangle, vertices)]  # fmt: skip
        if not may_go:
            break
        inner.remove(may_go[0])
    return [line[k] for k in (0, *inner, len(line) - 1)]


def points(arcs, arc):
    return [tuple(point) for point in arcs.xy[arcs.offsets[arc] : arcs.offsets[arc + 1]].tolist()]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("tolerance_px", [0.75, 1.0, 1.5, 3.0, 30.0])
def test_arcs_are_those_of_a_plain_search(seed, tolerance_px):
    cut_px = 11
    core, corners, arcs = trace(landscape_like(seed, (33, 30), classes=3, nodata=0.05 * (seed % 2)), cut_px)
    simple = simplify_arcs(arcs, corners, core, cut_px, tolerance_px)
    row, col = np.nonzero(corners.bits & VERTEX)
    vertices = list(zip(col.tolist(), row.tolist(), strict=True))
    ends = [{points(arcs, arc)[0], points(arcs, arc)[-1]} for arc in range(len(arcs))]
    for arc, (left, right) in enumerate(zip(arcs.left, arcs.right, strict=True)):
        line = points(arcs, arc)
        on_cut = any(line[0][axis] == line[-1][axis] and line[0][axis] % cut_px == 0 for axis in range(2))
        least = 2 if len(ends[arc]) == 1 else int(on_cut or ends.count(ends[arc]) > 1)
        expected = line if min(left, right) < 0 else thinned(line, least, vertices, tolerance_px)
        assert points(simple, arc) == expected


def test_islands_become_triangles_and_no_less():
    classes = draw("000000 011100 011100 011100 000000 000000")
    assert len(polygonize(classes, simplify_px=100).geometry[1].exterior.coords) == 4


def test_a_diagonal_staircase_becomes_a_line():
    classes = np.tril(np.ones((40, 40), np.uint8))
    for plain, simple in zip(polygonize(classes).geometry, polygonize(classes, simplify_px=0.75).geometry, strict=True):
        assert len(plain.exterior.coords) > 80
        assert len(simple.exterior.coords) < 8
        assert plain.hausdorff_distance(simple) <= 1


def test_blocks_off_the_cut_lattice_are_refused():
    with pytest.raises(ValueError, match=r"rows 3:6.*cut lattice of 2 pixels"):
        find_corners(as_runs(np.zeros((5, 5), np.uint8)), Window(3, 0, 3, 3), (9, 3), 2)
