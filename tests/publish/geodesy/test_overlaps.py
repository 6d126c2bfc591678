"""Overlaps of scenes, compared with shapely on every pair."""

from itertools import combinations

import numpy as np
import pytest
from rasterio.crs import CRS
from shapely.geometry import box

from geoseg.grid.window import Grid
from geoseg.publish.geodesy.overlaps import MOST_PAIRS, Footprint, find_overlaps, overlap_warnings

SIDE_PX = 100


def at(name: str, x: float, y: float, epsg: int = 32632, *, new: bool = True, pixel_m: float = 10) -> Footprint:
    crs = CRS.from_epsg(epsg).to_wkt(version="WKT2_2019")
    return Footprint(name, Grid(SIDE_PX, SIDE_PX, (pixel_m, 0, x, 0, -pixel_m, y), crs), new)


def test_pairs_are_those_of_shapely() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform((400_000, 5_000_000), (410_000, 5_010_000), (60, 2))
    footprints = [at(str(n), x, y, new=n % 3 > 0) for n, (x, y) in enumerate(corners)]
    boxes = [box(x, y - 1000, x + 1000, y) for x, y in corners]
    shared = {(a, b): boxes[a].intersection(boxes[b]).area for a, b in combinations(range(60), 2) if a % 3 or b % 3}
    expected = sorted((area for area in shared.values() if area > 100), reverse=True)
    count, largest = find_overlaps(footprints, one_crs=True)
    assert count == len(expected) > 10
    # The ground is some parts in ten thousand larger than the map of UTM says.
    assert [pair.area_m2 for pair in largest] == pytest.approx(expected[:3], rel=2e-3)


def test_neighbours_on_one_grid_do_not_overlap_and_those_of_an_earlier_run_are_left_out() -> None:
    row = [at(str(n), 0.1 * n * SIDE_PX, 5_000_000, pixel_m=0.1) for n in range(50)]
    assert find_overlaps(row, one_crs=True) == (0, [])
    assert overlap_warnings([at("a", 4e5, 5e6, new=False), at("b", 4e5, 5e6, new=False)], one_crs=True) == []
    assert overlap_warnings([], one_crs=True) == []


def test_scenes_of_two_zones_meet_in_longitude_and_latitude() -> None:
    # 12 degrees east is the border of the zones 32 and 33, at 48.5 degrees north 721 and 279 km from their own origins.
    west, east = at("west", 721_000, 5_377_000, pixel_m=100), at("east", 279_000, 5_377_000, 32633, pixel_m=100)
    count, (pair,) = find_overlaps([west, east], one_crs=False)
    assert (count, pair.first, pair.second) == (1, "west", "east")
    assert 50e6 < pair.area_m2 < 100e6


def test_many_scenes_are_counted_and_those_of_one_place_up_to_a_limit() -> None:
    tiles = [at(str(n), 9e5 * (n % 40), 9e5 * (n // 40), pixel_m=9_500) for n in range(1600)]
    count, _ = find_overlaps(tiles, one_crs=True)
    assert count == 2 * 40 * 39 + 2 * 39 * 39, "each with its eight neighbours"
    stack = [at(str(n), 0, 0) for n in range(13_000)]
    assert overlap_warnings(stack, one_crs=True)[0].startswith(f"more than {MOST_PAIRS:,} pairs of scenes overlap")
