from pathlib import Path

import geopandas as gpd
import numpy as np
from PIL import Image
from shapely import Polygon

from geoseg.grid.legend import Legend, LegendClass
from geoseg.grid.window import Window
from geoseg.publish.preview import MARGIN_PX, PANEL_PX, write_preview
from geoseg.raster.source.scene import describe
from tests.support.scenes import TRANSFORM, write_scene

RED, BLUE = (200, 0, 0), (0, 0, 200)
LEGEND = Legend((LegendClass(0, "left", RED), LegendClass(1, "right", BLUE)))


def test_the_three_panels_show_scene_classes_and_polygons_in_place(tmp_path: Path) -> None:
    """Left half class 0, right half class 1, an island of class 1 in the left half."""
    classes = np.zeros((1, 64, 64), np.uint8)
    classes[:, :, 32:] = 1
    classes[:, 8:16, 8:16] = 1
    scene = write_scene(tmp_path / "scene.tif", np.full((3, 64, 64), 50, np.uint8))
    grid = describe(scene).grid

    def polygon(shell: list[tuple[int, int]], *holes: list[tuple[int, int]]) -> Polygon:
        return Polygon([TRANSFORM @ p for p in shell], [[TRANSFORM @ p for p in hole] for hole in holes])

    island = [(8, 8), (16, 8), (16, 16), (8, 16)]
    shapes = [
        polygon(island),
        polygon([(0, 0), (32, 0), (32, 64), (0, 64)], island),
        polygon([(32, 0), (64, 0), (64, 64), (32, 64)]),
    ]
    polygons = gpd.GeoDataFrame({"class_id": [1, 0, 1]}, geometry=shapes, crs=grid.crs)
    class_map = write_scene(tmp_path / "classes.tif", classes, nodata=255)
    whole = Window(0, 0, 64, 64)
    write_preview(tmp_path / "p.png", str(scene), (1, 2, 3), grid, class_map, polygons, LEGEND, whole)
    with Image.open(tmp_path / "p.png") as opened:
        picture = np.asarray(opened).astype(int)

    def pixel(panel: int, row: float, col: float) -> np.ndarray:
        left = MARGIN_PX + panel * (PANEL_PX + MARGIN_PX)
        return picture[MARGIN_PX + int(row * PANEL_PX), left + int(col * PANEL_PX)]

    for (row, col), (color, other) in {
        (0.7, 0.2): (0, 2), (0.7, 0.8): (2, 0), (12 / 64, 12 / 64): (2, 0),
    }.items():  # fmt: skip
        expected = (RED, None, BLUE)[color]
        assert tuple(pixel(1, row, col)) == expected, "the class map has the legend's colours"
        tinted, plain = pixel(2, row, col), pixel(0, row, col)
        assert tinted[color] - plain[color] > tinted[other] - plain[other] + 40, "polygons tint the scene"
