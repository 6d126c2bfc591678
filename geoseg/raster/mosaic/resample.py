"""Bring pixels to another resolution of the same CRS, axis by axis.

The value of a pixel is the weighted mean of the source pixels around its centre, with the kernels of GDAL's warper:
triangle (bilinear) or Keys' cubic convolution (doi:10.1109/TASSP.1981.1163711, a = -0.5), as wide as the larger pixel.
Each pixel is computed by itself from its place in the grid, so it does not depend on the window, and this takes a tenth
of the time of warping.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.grid.window import Grid, Window
from geoseg.raster.mosaic.composite import Resampling
from geoseg.raster.mosaic.placement import same_crs

STRIP_ROWS = 64
"""Rows that are computed together: few enough for the CPU's cache."""
_DECIMALS = 6
"""Of places in pixels: all centres on a boundary between pixels belong to the pixel beyond it."""
_RADIUS = {"nearest": 0.5, "bilinear": 1.0, "cubic": 2.0}


@dataclass(frozen=True, slots=True)
class Taps:
    """The source pixels that N pixels of an axis are computed from."""

    index: NDArray[np.intp]
    """Shape (N, K); those outside the source are replaced by one inside."""
    weight: NDArray[np.float64]
    """Shape (N, K), 0 outside the source; each row adds up to 1 if the source reaches there."""
    nearest: NDArray[np.intp]
    """The source pixel that holds the centre, shape (N,); may lie outside."""

    @property
    def span(self) -> tuple[int, int]:
        """First index, and the one after the last."""
        return int(self.index.min()), int(self.index.max()) + 1


def find_taps(inner: Grid, outer: Grid, window: Window, resampling: Resampling) -> tuple[Taps, Taps] | None:
    """Find the pixels of ``inner`` that a window of ``outer`` is computed from, by rows and by columns.

    Returns:
        None if the grids have another CRS, or their axes are not parallel, so that pixels must be warped.
    """
    if not same_crs(inner.crs, outer.crs):
        return None
    a, b, c, d, e, f = inner.transform
    p, q, x, s, t, y = outer.transform
    if any((b, d, q, s)) or a * p <= 0 or e * t <= 0:
        return None
    rows = _taps((y - f) / e, t / e, window.ranges[0], inner.height, resampling)
    cols = _taps((x - c) / a, p / a, window.ranges[1], inner.width, resampling)
    return rows, cols


def resample(
    pixels: NDArray[np.number], valid: NDArray[np.bool_], rows: Taps, cols: Taps
) -> tuple[NDArray[np.number], NDArray[np.bool_]]:
    """Compute the pixels of a window; invalid source pixels do not count in a value.

    Args:
        pixels: Values of the source in the span of ``rows`` and ``cols``, shape (C, H, W).
        valid: Their validity, shape (H, W).
        rows: For each row of the result.
        cols: For each column.

    Returns:
        Values in the dtype of ``pixels``, and validity: that of the pixel which holds the centre.
    """
    top, left = rows.span[0], cols.span[0]
    found = _nearest(valid, rows.nearest - top, cols.nearest - left)
    result = np.empty((len(pixels), *found.shape), pixels.dtype)
    if rows.index.shape[1] == cols.index.shape[1] == 1:
        for band, values in zip(result, pixels, strict=True):
            band[:] = values[:, cols.index[:, 0] - left][rows.index[:, 0] - top]
    else:
        _fill(result, pixels, valid, rows, cols)
    if not found.all():
        result[:, ~found] = 0
    return result, found


def _fill(
    result: NDArray[np.number], pixels: NDArray[np.number], valid: NDArray[np.bool_], rows: Taps, cols: Taps
) -> None:
    """Write weighted means to ``result``; arguments as of `resample`."""
    top, left = rows.span[0], cols.span[0]
    # float32 holds 16 bits exactly.
    work = np.float32 if pixels.dtype.kind in "iu" and pixels.dtype.itemsize <= 2 else np.float64
    share = gaps = None
    if not valid.all():
        share, gaps = _across(valid.astype(work), cols, left), _gaps_across(valid, cols, left)
    for band, values in zip(result, pixels, strict=True):
        wide = _across(np.where(valid, values, values.dtype.type(0)).astype(work), cols, left)
        for start in range(0, len(band), STRIP_ROWS):
            strip = slice(start, start + STRIP_ROWS)
            total = _down(wide, rows, top, strip)
            if share is not None and gaps is not None:
                weight, gap = _down(share, rows, top, strip), _gaps_down(gaps, rows, top, strip)
                # Where no pixel is missing the division must not change a bit: it is not done in other windows.
                np.divide(total, weight, out=total, where=gap & (weight > 0))
            band[strip] = _rounded(total, pixels.dtype)


def _taps(origin: float, step: float, span: tuple[int, int], size: int, resampling: Resampling) -> Taps:
    """Taps of an axis.

    Args:
        origin: Place of the first side of the scene, in pixels of the source.
        step: Pixels of the source in a pixel of the scene.
        span: First pixel of the window, and the one after the last.
        size: Pixels of the source.
        resampling: The kernel.
    """
    place = np.round(origin + (np.arange(*span) + 0.5) * step, _DECIMALS)
    nearest = np.floor(place).astype(np.intp)
    if resampling == "nearest":
        return Taps(np.clip(nearest, 0, size - 1)[:, None], np.ones((len(place), 1)), nearest)
    wide = max(1.0, step)
    radius = _RADIUS[resampling] * wide
    first = np.floor(place - radius + 0.5).astype(np.intp)
    index = first[:, None] + np.arange(math.ceil(2 * radius) + 1)
    weight: NDArray[np.float64] = _kernel(np.abs(index + 0.5 - place[:, None]) / wide, resampling)
    weight[(index < 0) | (index >= size)] = 0
    # At least one, also where the source does not reach.
    used = np.flatnonzero(weight.any(axis=0)) if weight.any() else [0]
    index, weight = np.clip(index[:, used], 0, size - 1), weight[:, used]
    total = weight.sum(axis=1, keepdims=True)
    return Taps(index, np.divide(weight, total, out=weight, where=total > 0), nearest)


def _kernel(x: NDArray[Any], resampling: Resampling) -> NDArray[np.float64]:
    """Weight at a distance from the centre, in units of the kernel."""
    if resampling == "bilinear":
        return np.asarray(np.maximum(0, 1 - x))
    near, far = (1.5 * x - 2.5) * x**2 + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def _across(values: NDArray[np.floating], cols: Taps, left: int) -> NDArray[np.floating]:
    """Weighted sums along rows, shape (H, N)."""
    weight = cols.weight.astype(values.dtype)
    total = values[:, cols.index[:, 0] - left] * weight[:, 0]
    for tap in range(1, weight.shape[1]):
        total += values[:, cols.index[:, tap] - left] * weight[:, tap]
    return total


def _down(values: NDArray[np.floating], rows: Taps, top: int, strip: slice) -> NDArray[np.floating]:
    """Weighted sums along columns, of the rows of a strip."""
    index, weight = rows.index[strip] - top, rows.weight[strip].astype(values.dtype)[..., None]
    total = values[index[:, 0]] * weight[:, 0]
    for tap in range(1, weight.shape[1]):
        total += values[index[:, tap]] * weight[:, tap]
    return total


def _gaps_across(valid: NDArray[np.bool_], cols: Taps, left: int) -> NDArray[np.bool_]:
    """Whether an invalid pixel lies under a weight, along rows; shape (H, N)."""
    gaps = np.zeros((len(valid), len(cols.index)), np.bool_)
    for tap in range(cols.index.shape[1]):
        gaps |= ~valid[:, cols.index[:, tap] - left] & (cols.weight[:, tap] != 0)
    return gaps


def _gaps_down(gaps: NDArray[np.bool_], rows: Taps, top: int, strip: slice) -> NDArray[np.bool_]:
    """The same along columns, of the rows of a strip."""
    index, used = rows.index[strip] - top, rows.weight[strip] != 0
    found = [gaps[index[:, tap]] & used[:, tap, None] for tap in range(index.shape[1])]
    return np.asarray(np.logical_or.reduce(found))


def _nearest(valid: NDArray[np.bool_], rows: NDArray[np.intp], cols: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Validity of the pixels that hold the centres; False outside."""
    height, width = valid.shape
    inside = ((rows >= 0) & (rows < height))[:, None] & ((cols >= 0) & (cols < width))
    if valid.all():
        return np.asarray(inside)
    found = valid[:, np.clip(cols, 0, width - 1)][np.clip(rows, 0, height - 1)]
    return np.asarray(found & inside)


def _rounded(values: NDArray[np.floating], dtype: np.dtype[Any]) -> NDArray[np.number]:
    """Values in another dtype; integers are rounded, half up, and limited."""
    if dtype.kind not in "iu":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    whole: NDArray[np.number] = np.clip(np.floor(values + values.dtype.type(0.5)), limits.min, limits.max).astype(dtype)
    return whole
