"""Pixels of an area: against exact predicates, and independent of the window."""

from typing import Any

import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geoseg.grid.tiling import Lattice, Tiling
from geoseg.grid.window import Window
from geoseg.raster.validity.area import Area
from geoseg.raster.validity.scanline import Edges, find_runs, paint

SCENE = Window(0, 0, 40, 50)
HALVES = st.integers(-20, 140).map(lambda value: value / 2)
"""Corners on half pixels: edges run through the centres of pixels."""
ANYWHERE = st.floats(-10, 70).map(lambda value: round(value, 9))


def polygons(numbers: st.SearchStrategy[float]) -> Any:
    """Any polygons, from corners in any order: with holes, in several parts, or empty."""
    corners = st.lists(st.tuples(numbers, numbers), min_size=3, max_size=12)
    return corners.map(lambda xy: shapely.make_valid(shapely.Polygon(xy)).buffer(0))


WINDOWS = st.builds(
    Window.from_bounds, st.integers(0, 19), st.integers(0, 24), st.integers(20, 40), st.integers(25, 50)
)


def edges_of(geometry: Any) -> Edges:
    rings = [shapely.get_coordinates(ring) for ring in shapely.get_rings(shapely.get_parts(geometry))]
    return np.concatenate([np.empty((0, 4)), *(np.hstack([ring[:-1], ring[1:]]) for ring in rings)])


def mask_of(geometry: Any, window: Window = SCENE) -> np.ndarray:
    return paint(find_runs(edges_of(geometry), window), window)


@given(polygons(ANYWHERE) | polygons(HALVES))
@settings(max_examples=200, deadline=None)
def test_a_pixel_belongs_if_its_centre_does(geometry: Any) -> None:
    cols, rows = np.meshgrid(np.arange(50) + 0.5, np.arange(40) + 0.5)
    centres = shapely.points(cols, rows)
    clear = shapely.distance(geometry.boundary, centres) > 1e-9 if not geometry.is_empty else np.ones((40, 50), bool)
    np.testing.assert_array_equal(mask_of(geometry)[clear], shapely.contains(geometry, centres)[clear])


@given(polygons(ANYWHERE) | polygons(HALVES), WINDOWS)
@settings(max_examples=200, deadline=None)
def test_a_pixel_does_not_depend_on_the_window(geometry: Any, window: Window) -> None:
    np.testing.assert_array_equal(mask_of(geometry, window), mask_of(geometry)[window.slices(SCENE)])


@given(polygons(HALVES))
@settings(max_examples=200, deadline=None)
def test_areas_that_share_a_boundary_share_no_pixel_and_leave_none_out(geometry: Any) -> None:
    frame = shapely.box(-20, -20, 100, 100)
    rest = frame.difference(geometry)
    # Only where the difference has kept every coordinate as it is do both share edges.
    both = np.concatenate([edges_of(geometry), edges_of(rest)])
    if len(both) == len(edges_of(geometry)) * 2 + 4:
        np.testing.assert_array_equal(mask_of(geometry), ~mask_of(rest))


def test_centres_on_the_boundary_belong_to_the_east_and_the_south() -> None:
    np.testing.assert_array_equal(
        mask_of(shapely.box(0.5, 0.5, 2.5, 2.5), Window(0, 0, 4, 4)).nonzero(), [[0, 0, 1, 1], [0, 1, 0, 1]]
    )


@given(polygons(ANYWHERE) | polygons(HALVES), st.sampled_from([(12, 3, 9), (12, 3, 18), (12, 0, 12), (20, 10, 40)]))
@settings(max_examples=100, deadline=None)
def test_counts_of_pixels_blocks_and_patches(geometry: Any, sizes: tuple[int, int, int]) -> None:
    patch_px, overlap_px, block_px = sizes
    tiling = Tiling(Lattice.of(SCENE.shape, patch_px, overlap_px), block_px)
    area, mask = Area.of(edges_of(geometry), SCENE), mask_of(geometry)
    np.testing.assert_array_equal(area.mask(SCENE), mask)
    assert area.pixels == mask.sum()
    lattice = tiling.lattice
    blocks = [block.read for block in tiling.blocks()]
    patches = [
        lattice.patch(i, j).intersect(SCENE) for i in range(lattice.rows.count) for j in range(lattice.cols.count)
    ]
    assert area.touched(tiling) == tuple(
        sum(bool(mask[window.slices(SCENE)].any()) for window in windows if window) for windows in (blocks, patches)
    )
    if mask.any():
        rows, cols = mask.nonzero()
        assert area.bounds == Window.from_bounds(rows.min(), cols.min(), rows.max() + 1, cols.max() + 1)


def test_the_digest_is_that_of_the_pixels() -> None:
    big = Window(0, 0, 3000, 50)
    one, same = (Area.of(edges_of(shapely.box(3, 5, 30.2, 2500.1 + shift)), big) for shift in (0, 0.2))
    other = Area.of(edges_of(shapely.box(3, 5, 30.2, 2501)), big)
    assert one == same
    assert one.digest != other.digest
    assert Area.of(edges_of(shapely.box(60, 5, 70, 30)), big).pixels == 0
