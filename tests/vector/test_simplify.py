"""Simplified arcs, against the rule written down plainly."""

from itertools import pairwise

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geoseg.grid.window import Window
from geoseg.vector.blocks import label_block
from geoseg.vector.lines.arcs import NODE, find_corners, trace_arcs
from geoseg.vector.lines.simplify import simplify_arcs
from geoseg.vector.polygonize import polygonize
from tests.vector.class_maps import HARD, as_runs, draw, landscape_like, random_maps
from tests.vector.start_lines import Rule, kinds_of, points_of, points_on, start_line


def trace(classes, cut_px):
    """Classes with their halo, corners and arcs of a scene in one block."""
    core = Window(0, 0, *classes.shape)
    block = label_block(classes, classes, core, core.width)
    wide = as_runs(np.pad(classes, 1, constant_values=255))
    corners = find_corners(wide, core, classes.shape, cut_px)
    nothing = np.full(max(classes.shape), -1)
    names = block.components.first_pixel
    arcs = trace_arcs(corners, core, block.labels, names, nothing[: core.width], nothing[: core.height])
    return core, wide, corners, arcs


def assert_fewest(classes, cut_px, simplify_px):
    """Each arc is allowed, has the fewest segments and the least squared distance. Returns how many were judged."""
    core, wide, corners, arcs = trace(classes, cut_px)
    row, col = np.nonzero(corners.bits & NODE)
    nodes = set(zip((2 * col).tolist(), (2 * row).tolist(), strict=True))
    simple = simplify_arcs(arcs, corners, wide, core, cut_px, simplify_px)
    kinds, guard = list(kinds_of(arcs, nodes, cut_px)), 2 * simplify_px - 1
    lines = [points_of(arcs, arc) if kind is None else start_line(points_of(arcs, arc), kind[0])
             for arc, kind in enumerate(kinds)]  # fmt: skip
    rings = [kind is not None and kind[0] for kind in kinds]
    taken = set().union(
        *(set(line) if kind is None else points_on([*line, line[0]] if ring else line)
          for line, kind, ring in zip(lines, kinds, rings, strict=True))
    )  # fmt: skip
    for arc, kind in enumerate(kinds):
        found = points_of(simple, arc)
        if kind is None:
            assert found == lines[arc]
            continue
        ring, least = kind
        line = lines[arc]
        # A region can hold nothing up to a guard of half a pixel: the plain rule looks at the region itself.
        rule = Rule(line, ring, guard, taken, swept=guard > 1)
        fewest, square = rule.best(least, range(len(line)) if ring else [0])
        # A loop at a node has its first point twice.
        at = [line.index(point) for point in found]
        at[-1] = at[0] + len(line) if ring else len(line) - 1
        at = [k if k >= at[0] else k + len(line) for k in at]
        steps = list(pairwise(at))
        assert all(i < j and rule.allows(i, j) for i, j in steps)
        assert len(steps) == fewest
        assert sum(rule.cost(i, j) for i, j in steps) == pytest.approx(square, abs=1e-9)
    return sum(kind is not None for kind in kinds)


@pytest.mark.parametrize("simplify_px", [0.5, 0.85, 1.0, 1.1, 1.5, 3.0])
@pytest.mark.parametrize("seed", range(2))
def test_arcs_have_the_fewest_segments(seed, simplify_px):
    classes = landscape_like(seed, (22, 19), classes=3, nodata=0.05 * (seed % 2))
    assert assert_fewest(classes, 11, simplify_px) > 20


@settings(max_examples=40)
@given(classes=random_maps, cut_px=st.integers(2, 18), simplify_px=st.sampled_from([0.5, 0.9, 1.0, 1.3, 2.0]))
def test_arcs_of_any_map_have_the_fewest_segments(classes, cut_px, simplify_px):
    assert_fewest(classes, cut_px, simplify_px)


@pytest.mark.parametrize("name", HARD)
def test_arcs_of_hard_maps_have_the_fewest_segments(name):
    for simplify_px in (1.0, 1.7):
        assert_fewest(HARD[name], 5, simplify_px)


def smooth_field(seed, shape, classes=3):
    """Long lines without noise: regions of a sum of waves."""
    rng = np.random.default_rng(seed)
    row, col = np.indices(shape)
    field = sum(np.sin(row * a + col * b + c) for a, b, c in rng.uniform(-0.35, 0.35, (4, 3)))
    return np.digitize(field, np.linspace(-1, 1, classes - 1)).astype(np.uint8)


@pytest.mark.parametrize("seed", range(2))
def test_long_lines_have_the_fewest_segments(seed):
    assert assert_fewest(smooth_field(seed, (40, 40)), 20, 1.0) > 4


def test_small_islands_keep_four_sides():
    island = polygonize(draw("000 010 000"), simplify_px=100).geometry[1]
    assert island.equals(shapely.from_wkt("POLYGON ((1.5 1, 2 1.5, 1.5 2, 1 1.5, 1.5 1))"))
    island = polygonize(draw("000000 011100 011100 011100 000000 000000"), simplify_px=1).geometry[1]
    assert len(island.exterior.coords) == 5
    assert 6 < island.area < 9


def test_a_diagonal_staircase_becomes_its_middle_line():
    classes = np.tril(np.ones((40, 40), np.uint8))
    # From the second row of pixels on; at the scene's edge the line begins at a corner.
    line = shapely.LineString([(1, 0.5), (39.5, 39)])
    for simple in polygonize(classes, simplify_px=0.5).geometry:
        assert len(simple.exterior.coords) <= 8
        assert line.difference(simple.boundary).length < 1e-9


@pytest.mark.parametrize(("rise", "run"), [(1, 2), (2, 5), (3, 4), (1, 9)])
def test_a_straight_border_is_at_most_three_segments(rise, run):
    row, col = np.indices((90, 80)) + 0.5
    one, other = polygonize((rise * col + run * row > 25 * (rise + run)).astype(np.uint8), simplify_px=1).geometry
    border = shapely.line_merge(one.intersection(other))
    assert len(border.coords) <= 4
    xy = shapely.get_coordinates(border.segmentize(0.1))
    assert np.abs(xy @ (rise, run) - 25 * (rise + run)).max() <= 0.75 * np.hypot(rise, run)


def test_below_half_a_pixel_the_stairs_stay():
    classes = landscape_like(7, (40, 40))
    stairs = polygonize(classes)
    for simplify_px in (0.2, 0.49):
        assert shapely.equals_exact(polygonize(classes, simplify_px=simplify_px).geometry, stairs.geometry).all()


def test_blocks_off_the_cut_lattice_are_refused():
    with pytest.raises(ValueError, match=r"rows 3:6.*cut lattice of 2 pixels"):
        find_corners(as_runs(np.zeros((5, 5), np.uint8)), Window(3, 0, 3, 3), (9, 3), 2)
