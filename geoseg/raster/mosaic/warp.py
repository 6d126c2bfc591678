"""Bring pixels to another grid. Call it for fixed cells of that grid, so that no window decides on a pixel."""

import math

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Resampling as Method
from rasterio.transform import Affine
from rasterio.warp import reproject

from geoseg.grid.window import Grid, Window
from geoseg.raster.mosaic.composite import Resampling
from geoseg.raster.mosaic.placement import crs_of, pixels_per_pixel

_RADIUS_PX = {"nearest": 1, "bilinear": 1, "cubic": 2}
TOLERANCE_PX = 0.02
"""Largest error of the approximate transformation within a cell, in pixels of the source."""


def margin_px(inner: Grid, outer: Grid, resampling: Resampling) -> int:
    """Pixels of ``inner`` around the place of a pixel of ``outer`` that its value may depend on."""
    return math.ceil(_RADIUS_PX[resampling] * max(1.0, pixels_per_pixel(inner, outer))) + 2


def warp(
    pixels: NDArray[np.number],
    valid: NDArray[np.bool_],
    inner: Grid,
    window: Window,
    outer: Grid,
    cell: Window,
    resampling: Resampling,
) -> tuple[NDArray[np.number], NDArray[np.bool_]]:
    """Compute a cell of one grid from pixels of another.

    A pixel is valid if the nearest source pixel is; invalid ones do not count in its value. The validity is given to
    GDAL as an alpha band of 0 and 1, not as a nodata value, which GDAL would change valid values to avoid.

    Args:
        pixels: Values of ``window``, shape (C, H, W).
        valid: Their validity, shape (H, W).
        inner: The grid that ``window`` belongs to.
        window: Window that holds what the cell needs, see `geoseg.raster.mosaic.placement.needed`.
        outer: The grid that ``cell`` belongs to.
        cell: The window to compute.
        resampling: How values are computed.

    Returns:
        Values of the cell, shape (C, H, W) in the dtype of ``pixels``, and their validity, shape (H, W).
    """
    bands = len(pixels)
    source = np.concatenate([np.where(valid, pixels, pixels.dtype.type(0)), valid[None].astype(pixels.dtype)])
    result = np.zeros((bands + 1, *cell.shape), pixels.dtype)
    # The ratio of pixel sizes, for all cells the same: GDAL would estimate it for each.
    scale = str(min(1.0, 1 / pixels_per_pixel(inner, outer)))
    reproject(
        source,
        result,
        src_transform=_shifted(inner, window),
        src_crs=crs_of(inner.crs),
        dst_transform=_shifted(outer, cell),
        dst_crs=crs_of(outer.crs),
        src_alpha=bands + 1,
        dst_alpha=bands + 1,
        resampling=Method[resampling],
        tolerance=TOLERANCE_PX,
        SRC_ALPHA_MAX="1",
        DST_ALPHA_MAX="1",
        XSCALE=scale,
        YSCALE=scale,
    )
    return result[:bands], result[bands] > 0


def _shifted(grid: Grid, window: Window) -> Affine:
    """Transform of a window."""
    a, b, c, d, e, f = grid.transform
    return Affine(a, b, a * window.col + b * window.row + c, d, e, d * window.col + e * window.row + f)
