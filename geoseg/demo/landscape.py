"""A synthetic satellite scene of any size with four bands and pixels of 10 m, and its true class map.

Each window is computed independently of the others.
"""

from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray

from geoseg.demo.noise import compiled, hash_point, noise, uniform
from geoseg.demo.painter import paint
from geoseg.grid.legend import NODATA_CLASS, Legend, LegendClass
from geoseg.grid.window import Window

LEGEND = Legend(
    (
        LegendClass(0, "water", (74, 137, 199)),
        LegendClass(1, "forest", (44, 104, 62)),
        LegendClass(2, "crops", (232, 204, 112)),
        LegendClass(3, "grass", (148, 192, 103)),
        LegendClass(4, "built-up", (196, 77, 72)),
        LegendClass(5, "bare", (178, 160, 140)),
    )
)
"""The classes of the true class map."""

BANDS = ("blue", "green", "red", "nir")
PIXEL_M = 10.0
DEMO_SEED = 7
"""Seed of the landscape of `geoseg demo`, not one of those of the training."""

_CRS = "EPSG:32632"
_EAST_M, _NORTH_M = 480_000.0, 5_480_000.0
_TILE_PX = 512


def landscape(window: Window, *, shape: tuple[int, int], seed: int) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Compute a window of the landscape: the same pixels as in that window of the whole scene.

    Args:
        window: Pixels to compute, inside the scene or not.
        shape: ``(height, width)`` of the scene. It defines the swath, a rotated square with nodata around it.
        seed: Seed of the landscape, 0 or more.

    Returns:
        Reflectance * 10000 in blue, green, red and near infrared, uint16 of shape (4, H, W), 0 in all bands where
        there is no data and in none elsewhere; class ids of `LEGEND`, uint8 of shape (H, W), 255 where no data is.

    Raises:
        ValueError: If the seed is negative.
    """
    if seed < 0:
        raise ValueError(f"The seed of a landscape must be 0 or more, got {seed}.")
    ground = paint(seed * 1000, window.row - 1, window.col - 1, window.height + 2, window.width + 2)
    return _sense(seed * 1000, (window.row, window.col), shape, *ground)


def write_landscape(path: Path, truth_path: Path, *, size: int | tuple[int, int], seed: int = DEMO_SEED) -> None:
    """Write a scene and its true class map as tiled GeoTIFFs, in strips, so that memory does not grow with the height.

    Args:
        path: Scene to write: uint16, nodata 0, bands described.
        truth_path: Truth to write: uint8, nodata 255, with the legend's colours.
        size: Side in pixels, or ``(height, width)``.
        seed: Seed of the landscape, 0 or more.
    """
    height, width = (size, size) if isinstance(size, int) else size
    profile = {
        "driver": "GTiff", "height": height, "width": width, "crs": _CRS,
        "transform": rasterio.Affine(PIXEL_M, 0, _EAST_M, 0, -PIXEL_M, _NORTH_M),
        "tiled": True, "blockxsize": _TILE_PX, "blockysize": _TILE_PX,
        "compress": "zstd", "zstd_level": 1, "predictor": 2, "bigtiff": "if_safer",
    }  # fmt: skip
    with (
        rasterio.open(path, "w", **profile, count=len(BANDS), dtype="uint16", nodata=0) as scene,
        rasterio.open(truth_path, "w", **profile, count=1, dtype="uint8", nodata=NODATA_CLASS) as truth,
    ):
        scene.descriptions = BANDS
        truth.set_band_description(1, "class")
        truth.write_colormap(1, {entry.id: entry.color for entry in LEGEND.classes})
        # Whole rows of internal tiles, so that each tile is compressed once.
        for row in range(0, height, _TILE_PX):
            window = Window(row, 0, min(_TILE_PX, height - row), width)
            pixels, classes = landscape(window, shape=(height, width), seed=seed)
            scene.write(pixels, window=window.ranges)
            truth.write(classes, 1, window=window.ranges)


@compiled
def _sense(
    seed: int, origin: tuple[int, int], scene_shape: tuple[int, int],
    reflectance: NDArray[np.float32], elevation: NDArray[np.float32], truth: NDArray[np.uint8],
) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:  # fmt: skip
    """Simulate the sensor: optics, illumination, haze, noise and swath.

    Args:
        seed: As of `paint`.
        origin: Row and column of the first pixel of the result.
        scene_shape: Height and width of the scene.
        reflectance: As of `paint`, like the next two, with a halo of one pixel around the result.
        elevation: Shades the slopes.
        truth: Class ids.

    Returns:
        Pixels and class ids as of `landscape`.
    """
    (row, col), (scene_height, scene_width) = origin, scene_shape
    height, width = truth.shape[0] - 2, truth.shape[1] - 2
    pixels, classes = np.zeros((4, height, width), np.uint16), np.full((height, width), NODATA_CLASS, np.uint8)
    slant = 0.08 + 0.05 * uniform(hash_point(seed + 3, 0, 0), 0)
    for i in range(height):
        for j in range(width):
            y, x = (row + i + 0.5) / scene_height, (col + j + 0.5) / scene_width
            if not _in_swath(y, x, slant):
                continue
            classes[i, j] = truth[i + 1, j + 1]
            haze = noise(seed + 4, (row + i) / 1700.0, (col + j) / 1700.0)
            slope = elevation[i, j] + elevation[i, j + 1] - elevation[i + 2, j + 1] - elevation[i + 2, j + 2]
            light = 1.0 + 0.1 * haze + (0.0 if classes[i, j] == 0 else max(-0.25, min(0.25, 9.0 * slope)))
            for band in range(4):
                ideal = reflectance[band]
                # Point spread function: 1:4:1 along each axis.
                north = ideal[i, j] + 4.0 * ideal[i, j + 1] + ideal[i, j + 2]
                middle = ideal[i + 1, j] + 4.0 * ideal[i + 1, j + 1] + ideal[i + 1, j + 2]
                south = ideal[i + 2, j] + 4.0 * ideal[i + 2, j + 1] + ideal[i + 2, j + 2]
                seen = light * (north + 4.0 * middle + south) / 36.0
                bits = hash_point(seed + 5 + 100 * band, row + i, col + j)
                error = uniform(bits, 0) + uniform(bits, 1) + uniform(bits, 2) + uniform(bits, 3) - 2.0
                seen += (14.0 + 0.02 * seen) * error + 60.0 * (3 - band) * max(0.0, haze)
                pixels[band, i, j] = np.uint16(min(10000.0, max(1.0, seen + 0.5)))
    return pixels, classes


@compiled
def _in_swath(y: float, x: float, slant: float) -> bool:
    """Return whether a point of the unit square lies in the inscribed rotated square with corner (0, slant)."""
    return _inside_edges(y, x, slant) and _inside_edges(1.0 - y, 1.0 - x, slant)


@compiled
def _inside_edges(y: float, x: float, slant: float) -> bool:
    straight = 1.0 - slant
    return y * slant + x * straight > slant * straight and y * straight > (x - slant) * slant
