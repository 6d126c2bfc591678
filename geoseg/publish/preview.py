"""Preview picture of a scene: scene | class map | polygons. Upper row: the whole scene; lower row: a detail."""

from collections.abc import Mapping
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from geoseg.grid.legend import NODATA_CLASS, Legend
from geoseg.grid.window import Grid, Window
from geoseg.raster.thumbnail import read_thumbnail, stretch

PANEL_PX = 560
MARGIN_PX = 12
LEGEND_PX = 44
DETAIL_PX = 320
"""Side of the detail in pixels of the scene."""
FILL_ALPHA = 110
MIN_AREA_PX2 = 2
"""Smaller polygons, in pixels of the picture, are not drawn."""
INK = (40, 40, 40)


def write_preview(
    path: Path,
    scene_path: str,
    rgb_bands: tuple[int, int, int],
    grid: Grid,
    classes_path: Path,
    polygons: gpd.GeoDataFrame,
    legend: Legend,
    detail: Window | None = None,
) -> None:
    """Draw the picture as a PNG.

    Args:
        path: The file.
        scene_path: The input raster.
        rgb_bands: Its bands for red, green and blue, from 1.
        grid: The scene's grid.
        classes_path: The published class map.
        polygons: The published polygons in the CRS of the scene.
        legend: Names and colours.
        detail: Window of the lower row; default: the one with the most even mix of classes.
    """
    detail = detail or _most_diverse(classes_path, grid.window, legend)
    width = 3 * PANEL_PX + 4 * MARGIN_PX
    rows = [(window, round(PANEL_PX * window.height / window.width)) for window in (grid.window, detail)]
    picture = Image.new("RGB", (width, sum(h for _, h in rows) + 3 * MARGIN_PX + LEGEND_PX), "white")
    to_pixels = shapely.transform(polygons.geometry.to_numpy(), grid.to_pixel)
    top = MARGIN_PX
    for window, height in rows:
        classes = read_thumbnail(classes_path, (1,), window, PANEL_PX)[0]
        scene = stretch(read_thumbnail(scene_path, rgb_bands, window, PANEL_PX), classes != NODATA_CLASS)
        drawn = _draw_polygons(
            Image.fromarray(scene), window, (PANEL_PX, height), to_pixels, polygons["class_id"], legend
        )
        for column, panel in enumerate((Image.fromarray(scene), Image.fromarray(_paint(classes, legend)), drawn)):
            left = MARGIN_PX + column * (PANEL_PX + MARGIN_PX)
            picture.paste(panel.resize((PANEL_PX, height), Image.Resampling.NEAREST), (left, top))
        top += height + MARGIN_PX
    _draw_legend(ImageDraw.Draw(picture), top, legend)
    picture.save(path, optimize=True)


def _most_diverse(classes_path: Path, scene: Window, legend: Legend) -> Window:
    """The detail with the largest entropy of classes; the first one on ties."""
    side = min(DETAIL_PX, *scene.shape)
    coarse = read_thumbnail(classes_path, (1,), scene, PANEL_PX)[0]
    scale = coarse.shape[1] / scene.width
    best, best_entropy = Window(0, 0, side, side), -1.0
    for row in range(0, scene.height - side + 1, side):
        for col in range(0, scene.width - side + 1, side):
            cut = coarse[
                int(row * scale) : int((row + side) * scale) + 1, int(col * scale) : int((col + side) * scale) + 1
            ]
            share = np.bincount(cut[cut != NODATA_CLASS], minlength=len(legend)) / cut.size
            entropy = -float((share[share > 0] * np.log(share[share > 0])).sum())
            if entropy > best_entropy:
                best, best_entropy = Window(row, col, side, side), entropy
    return best


def _paint(classes: NDArray[np.generic], legend: Legend) -> NDArray[np.uint8]:
    palette = np.full((256, 3), 255, np.uint8)
    for entry in legend.classes:
        palette[entry.id] = entry.color
    painted: NDArray[np.uint8] = palette[classes]
    return painted


def _draw_polygons(
    scene: Image.Image,
    window: Window,
    size: tuple[int, int],
    geometry: NDArray[np.object_],
    class_ids: Mapping[int, int],
    legend: Legend,
) -> Image.Image:
    """Draw the polygons that intersect the window on the scene: transparent fill and outline."""
    base = scene.resize(size, Image.Resampling.NEAREST).convert("RGBA")
    layer = Image.new("RGBA", size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(layer)
    scale = np.array([size[0] / window.width, size[1] / window.height])
    box = shapely.box(window.col, window.row, window.col_stop, window.row_stop)
    ids = np.asarray(class_ids)
    chosen = np.flatnonzero(shapely.intersects(geometry, box))
    # Outer polygons first: of two nested polygons the outer one has the larger shell.
    filled = shapely.area(shapely.polygons(shapely.get_exterior_ring(geometry[chosen])))
    visible = filled >= MIN_AREA_PX2 / scale.prod()
    for index in chosen[visible][np.argsort(-filled[visible], kind="stable")]:
        color = legend.classes[ids[index]].color
        shell, *holes = shapely.get_rings(geometry[index])
        for ring, fill in [(shell, (*color, FILL_ALPHA)), *((hole, (0, 0, 0, 0)) for hole in holes)]:
            points = ((shapely.get_coordinates(ring) - (window.col, window.row)) * scale).ravel().tolist()
            draw.polygon(points, fill=fill)
            draw.line(points, fill=(*color, 255), width=1 if window.width > DETAIL_PX else 2)
    return Image.alpha_composite(base, layer).convert("RGB")


def _draw_legend(draw: ImageDraw.ImageDraw, top: int, legend: Legend) -> None:
    font = ImageFont.load_default(size=16)
    left = MARGIN_PX
    for entry in legend.classes:
        draw.rectangle((left, top + 8, left + 22, top + 30), fill=entry.color, outline=INK)
        draw.text((left + 30, top + 9), entry.name, fill=INK, font=font)
        left += 30 + int(draw.textlength(entry.name, font=font)) + 26
