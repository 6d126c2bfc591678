"""Areas of interest in any CRS on scenes in any CRS, against the centre of every pixel."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import shapely
from pyproj import CRS, Transformer

from geoseg.area.place import place_area
from geoseg.area.read import AreaOfInterest
from geoseg.errors import SceneError
from geoseg.grid.window import Grid


def grid(crs: Any, transform: tuple[float, ...], height: int = 300, width: int = 400) -> Grid:
    return Grid(height, width, transform, CRS.from_user_input(crs).to_wkt())


UTM = grid(32632, (20, 0, 480_000, 0, -20, 5_480_000))
ROTATED = grid(32632, (14, 6, 480_000, 6, -14, 5_480_000))
GLOBE = grid(4326, (0.5, 0, -180, 0, -0.5, 90), 360, 720)
FROM_ZERO = grid(4326, (0.5, 0, 0, 0, -0.5, 90), 360, 720)
POLAR = grid(3413, (10_000, 0, -3_000_200, 0, -10_000, 3_000_000), 600, 600)
FIJI = grid(3832, (1000, 0, 1_500_000, 0, -1000, 1_000_000), 2000, 3000)
EUROPE = shapely.Polygon([(5, 45), (15, 45), (15, 55), (8.76, 55), (8.76, 49.45), (5, 49.45)])
RING = shapely.Point(4_233_000, 2_926_000).buffer(2500).difference(shapely.Point(4_233_000, 2_926_000).buffer(500))

SHIFTS = [(-1 / 128, 0), (1 / 128, 0), (0, -1 / 128), (0, 1 / 128)]
CASES = {
    "a box of degrees": (shapely.box(8.73, 49.43, 8.79, 49.46), 4326, UTM),
    "a box of degrees, rotated scene": (shapely.box(8.73, 49.43, 8.79, 49.46), 4326, ROTATED),
    "longitudes to 360": (shapely.box(368.73, 49.43, 368.79, 49.46), 4326, UTM),
    "larger than the zone": (EUROPE, 4326, UTM),
    "the world": (shapely.box(-180, -90, 180, 90), 4326, UTM),
    "the world in Mercator": (shapely.box(-20_037_508, -2e7, 20_037_508, 2e7), 3857, UTM),
    "a ring": (RING, 3035, UTM),
    "metres on the globe": (shapely.box(2e5, 5e6, 8e5, 6e6), 32632, GLOBE),
    "metres across the antimeridian": (shapely.box(2e5, 5e6, 9e5, 6e6), 32660, GLOBE),
    "degrees across the antimeridian": (shapely.box(170, -20, 190, 20), 4326, GLOBE),
    "the whole globe": (shapely.box(-180, -90, 180, 90), 4326, GLOBE),
    "the whole globe in Mercator": (shapely.box(-20_037_508, -1e7, 20_037_508, 1e7), 3857, GLOBE),
    "a globe from Greenwich": (shapely.box(-30, -20, 30, 20), 4326, FROM_ZERO),
    "a globe from Greenwich, another datum": (shapely.box(-30, -20, 30, 20), 4258, FROM_ZERO),
    "a polar cap": (shapely.box(-180, 70, 180, 90), 4326, POLAR),
    "a polar sector": (shapely.box(160, 70, 200, 85), 4326, POLAR),
    "a scene across the antimeridian": (shapely.box(176, -8, 184, -2), 4326, FIJI),
}


@pytest.mark.parametrize("name", CASES)
def test_pixels_are_those_whose_centre_lies_in_the_area(name: str) -> None:
    geometry, code, scene = CASES[name]
    crs = CRS.from_user_input(code)
    area = place_area(AreaOfInterest("it", geometry, crs), SimpleNamespace(grid=scene, path="scene"))
    # Edges are within 1/256 of a pixel, so centres that are nearer may count for either side.
    near = [inside(geometry, crs, scene, 0.5 + col, 0.5 + row) for col, row in [(0, 0), *SHIFTS]]
    clear = np.all([one == near[0] for one in near], axis=0)
    assert near[0].any()
    np.testing.assert_array_equal(area.mask(scene.window)[clear], near[0][clear])


def inside(geometry: Any, crs: CRS, scene: Grid, col: float, row: float) -> np.ndarray:
    """Whether points at one place of every pixel lie in an area, transformed one by one."""
    rows, cols = np.mgrid[: scene.height, : scene.width]
    xy = scene.to_crs(np.stack([cols + col, rows + row], axis=-1).reshape(-1, 2))
    x, y = Transformer.from_crs(scene.crs, crs, always_xy=True).transform(*xy.T)
    turns = (-360, 0, 360) if crs.is_geographic else (0,)
    return np.any([shapely.contains_xy(geometry, x + turn, y) for turn in turns], axis=0).reshape(rows.shape)


def test_neighbouring_areas_share_no_pixel_after_the_transformation() -> None:
    line = [(8.75, 49.2), (8.7512, 49.44), (8.77, 49.45), (8.762, 49.6)]
    west, east = ([*line, (x, 49.6), (x, 49.2)] for x in (8.6, 9.1))
    masks = [
        place_area(
            AreaOfInterest("it", shapely.Polygon(ring), CRS.from_epsg(4326)), SimpleNamespace(grid=UTM, path="scene")
        )
        for ring in (west, east)
    ]
    assert sum(area.pixels for area in masks) == UTM.window.pixels
    np.testing.assert_array_equal(masks[0].mask(UTM.window), ~masks[1].mask(UTM.window))


@pytest.mark.parametrize(
    ("geometry", "crs", "scene", "words"),
    [
        (shapely.Point(0, 0).buffer(3e6), 3413, GLOBE, "holds a pole, where longitudes end"),
        (shapely.box(0, 0, 1, 1), 4326, Grid(10, 10, (1, 0, 0, 0, -1, 0), ""), "has no CRS"),
        (shapely.box(0, 0, 1, 1), 30100, UTM, "PROJ has no transformation"),
    ],
)
def test_an_area_without_a_place_is_an_error(geometry: Any, crs: int, scene: Grid, words: str) -> None:
    where = "IAU_2015:" if crs == 30100 else "EPSG:"
    with pytest.raises(SceneError, match=words):
        place_area(
            AreaOfInterest("it", geometry, CRS.from_user_input(f"{where}{crs}")), SimpleNamespace(grid=scene, path="s")
        )
