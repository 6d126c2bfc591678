"""Where one grid lies on another."""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.warp import transform

from geoseg.grid.window import Grid, Window

ALIGNED_PX = 0.01
"""Grids count as one if their pixels differ by less everywhere: more than the rounding of coordinates in files, less
than any shift that is meant."""
POINTS_A_SIDE = 21
"""Points on each side of an outline that is transformed, because straight sides become curves."""


def same_crs(first: str, second: str) -> bool:
    """Return whether two WKT texts name one CRS."""
    return first == second or _equal(first, second)


def offset_px(inner: Grid, outer: Grid) -> tuple[int, int] | None:
    """Row and column of ``outer`` at which ``inner`` begins, if all its pixels are pixels of that lattice, else None.

    ``inner`` may reach outside.
    """
    if not same_crs(inner.crs, outer.crs):
        return None
    a, b, c, d, e, f = outer.transform
    scale = a * e - b * d
    places = []
    for col, row in ((0, 0), (inner.width, 0), (0, inner.height)):
        p, q, r, s, t, u = inner.transform
        x, y = p * col + q * row + r - c, s * col + t * row + u - f
        places.append(((a * y - d * x) / scale - row, (e * x - b * y) / scale - col))
    row, col = (round(value) for value in places[0])
    off = max(abs(value - whole) for place in places for value, whole in zip(place, (row, col), strict=True))
    return (row, col) if off < ALIGNED_PX else None


def extent(inner: Grid, outer: Grid) -> Window | None:
    """The window of ``outer``'s lattice that holds all of ``inner``; None if no part of it has a place there.

    It is not cut at the rim of ``outer``. Exact if the pixels are the same, else by points on the outline.
    """
    if (start := offset_px(inner, outer)) is not None:
        return Window(*start, inner.height, inner.width)
    return _bounding(to_other_pixel(outline(inner.window), inner, outer))


def needed(cell: Window, outer: Grid, inner: Grid, margin_px: int) -> Window | None:
    """The window of ``inner`` that a cell of ``outer`` is computed from, with a margin; None if it has none there."""
    around = _bounding(to_other_pixel(outline(cell), outer, inner))
    if around is None:
        return None
    return Window.from_bounds(
        around.row - margin_px, around.col - margin_px, around.row_stop + margin_px, around.col_stop + margin_px
    ).intersect(inner.window)


@lru_cache(maxsize=1024)
def pixels_per_pixel(inner: Grid, outer: Grid) -> float:
    """Side of a pixel of ``outer`` in pixels of ``inner``, at the middle of ``inner``; above 1 detail is lost."""
    middle = np.array([inner.width, inner.height]) // 2 + np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    origin, right, down = to_other_pixel(middle, inner, outer)
    area = abs(float(np.linalg.det(np.stack([right - origin, down - origin]))))
    return 1 / math.sqrt(area) if math.isfinite(area) and area > 0 else 1.0


def to_other_pixel(pixel: NDArray[np.float64], grid: Grid, other: Grid) -> NDArray[np.float64]:
    """Transform pixel coordinates ``(col, row)``, shape (N, 2), to those of another grid; infinite if undefined."""
    xy = grid.to_crs(pixel)
    if not same_crs(grid.crs, other.crs):
        xy = np.stack(transform(crs_of(grid.crs), crs_of(other.crs), xy[:, 0], xy[:, 1]), axis=-1)
    return other.to_pixel(xy)


def outline(window: Window) -> NDArray[np.float64]:
    """Points ``(col, row)`` on the sides of a window, shape (N, 2)."""
    steps = np.linspace(0, 1, POINTS_A_SIDE)
    zeros, ones = np.zeros(POINTS_A_SIDE), np.ones(POINTS_A_SIDE)
    cols, rows = np.concatenate([steps, steps, zeros, ones]), np.concatenate([zeros, ones, steps, steps])
    return np.stack([window.col + window.width * cols, window.row + window.height * rows], axis=-1)


def explain_other_grid(path: str, own: Grid, stated: Grid) -> str:
    """Message that a file has another grid than was stated."""
    found, said = (_summary(grid) for grid in (own, stated))
    crs = " in another CRS" if not same_crs(own.crs, stated.crs) else ""
    return (
        f"{path} is not what it was said to be: {found}, not {said}{crs}. If the file has changed, start the run "
        "again; if it came with an Item, correct the Item's proj: properties."
    )


@lru_cache(maxsize=256)
def crs_of(wkt: str) -> CRS:
    """The CRS of a WKT text; parsed once."""
    return CRS.from_wkt(wkt)


@lru_cache(maxsize=1024)
def _equal(first: str, second: str) -> bool:
    return bool(first and second and crs_of(first) == crs_of(second))


def _summary(grid: Grid) -> str:
    a, _, x, _, e, y = grid.transform
    return f"{grid.height} x {grid.width} pixels of {a:g}, {e:g} at ({x:.10g}, {y:.10g})"


def _bounding(pixel: NDArray[np.float64]) -> Window | None:
    """The smallest window around points ``(col, row)``; points that are not finite do not count."""
    finite = pixel[np.isfinite(pixel).all(axis=1)]
    if not len(finite):
        return None
    # Rounding of a projection must not add a row or column.
    col, row = np.floor(finite.min(axis=0) + ALIGNED_PX).astype(int).tolist()
    col_stop, row_stop = np.ceil(finite.max(axis=0) - ALIGNED_PX).astype(int).tolist()
    return Window.from_bounds(row, col, max(row_stop, row + 1), max(col_stop, col + 1))
