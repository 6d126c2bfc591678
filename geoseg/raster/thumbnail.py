"""Small pictures of large rasters, for display only: they may be read from overviews."""

from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray

from geoseg.grid.window import Window
from geoseg.raster.source.env import gdal_env

STRETCH_PERCENTILES = (2, 98)


def read_thumbnail(path: str | Path, bands: tuple[int, ...], window: Window, size_px: int) -> NDArray[np.generic]:
    """Read a window at a lower resolution.

    Args:
        path: Raster.
        bands: Bands from 1.
        window: Pixels to show, inside the raster.
        size_px: Longest side of the result.

    Returns:
        Values in the file's dtype, shape (C, h, w), nearest neighbour.
    """
    scale = min(1.0, size_px / max(window.shape))
    shape = (len(bands), max(1, round(window.height * scale)), max(1, round(window.width * scale)))
    with gdal_env(), rasterio.open(path) as dataset:
        pixels: NDArray[np.generic] = dataset.read(list(bands), window=window.ranges, out_shape=shape)
    return pixels


def stretch(pixels: NDArray[np.generic], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Stretch each band to 0..255 between its 2nd and 98th percentile; not valid is white.

    Args:
        pixels: Shape (3, H, W).
        valid: Shape (H, W), True where valid.

    Returns:
        Shape (H, W, 3).
    """
    picture = np.full((*valid.shape, 3), 255, np.uint8)
    if valid.any():
        for channel, band in enumerate(pixels.astype(np.float32)):
            low, high = np.percentile(band[valid], STRETCH_PERCENTILES)
            scaled = np.clip((band - low) / max(high - low, 1e-6), 0, 1) * 255
            picture[..., channel] = np.where(valid, scaled, 255)
    return picture
