"""Where the pixels of a scene lie in another raster: the pixel that holds their centre."""

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS

from geoseg.grid.window import Grid, Window

STEP_PX = 16
"""If the other raster has another CRS, places are computed at every 16th row and column of the scene and interpolated
between them. These rows and columns do not depend on a window, so no place does."""
ROUNDED = 6
"""Decimals of places in pixels, so that all centres on a boundary between pixels take the pixel beyond it."""
NOWHERE = -2

if TYPE_CHECKING:
    from pyproj import Transformer

Indices = NDArray[np.int64]


def find_pixels(scene: Grid, other: Grid, window: Window) -> tuple[Indices, Indices]:
    """Rows and columns of the other raster that hold the centres of the pixels of a window.

    Returns:
        Two arrays that broadcast to the shape of the window. They may lie outside the other raster, and are `NOWHERE`
        where the other CRS is not defined.
    """
    rows, cols = (np.arange(start, stop) + 0.5 for start, stop in window.ranges)
    if not have_one_crs(scene, other):
        return _whole(_interpolate(scene, other, window))
    if _is_upright(scene) and _is_upright(other):
        across = other.to_pixel(scene.to_crs(np.column_stack([cols, np.zeros_like(cols)])))
        down = other.to_pixel(scene.to_crs(np.column_stack([np.zeros_like(rows), rows])))
        return _whole(down)[0][:, None], _whole(across)[1][None]
    centres = np.stack(np.broadcast_arrays(cols[None], rows[:, None]), axis=-1)
    return _whole(other.to_pixel(scene.to_crs(centres)))


def have_one_crs(one: Grid, other: Grid) -> bool:
    """Return whether two grids have the same CRS, or both none."""
    if one.crs == other.crs or not (one.crs and other.crs):
        return one.crs == other.crs
    return bool(CRS.from_wkt(one.crs) == CRS.from_wkt(other.crs))


def _interpolate(scene: Grid, other: Grid, window: Window) -> NDArray[np.float64]:
    """Columns and rows in the other raster, shape (H, W, 2)."""
    rows, cols = (STEP_PX * np.arange(start // STEP_PX, -(-stop // STEP_PX) + 1) for start, stop in window.ranges)
    nodes = scene.to_crs(np.stack(np.broadcast_arrays(cols[None], rows[:, None]), axis=-1).astype(np.float64))
    xy = np.stack(_transformer(scene.crs, other.crs).transform(nodes[..., 0], nodes[..., 1]), axis=-1)
    places = other.to_pixel(np.where(np.isfinite(xy), xy, np.nan))
    places = _between(places, window.col - cols[0], window.width, axis=1)
    return _between(places, window.row - rows[0], window.height, axis=0)


@lru_cache(maxsize=16)
def _transformer(source: str, target: str) -> "Transformer":
    """From one CRS as WKT to another, x before y."""
    from pyproj import Transformer  # noqa: PLC0415  most scenes need none
    from pyproj.network import set_network_enabled  # type: ignore[attr-defined]  # noqa: PLC0415

    set_network_enabled(active=False)  # positions would depend on it
    return Transformer.from_crs(source, target, always_xy=True)


def _between(nodes: NDArray[np.float64], start: int, size: int, axis: int) -> NDArray[np.float64]:
    """Interpolate along an axis at the centres of ``size`` pixels, of which the first is ``start`` after a node."""
    place = (start + np.arange(size) + 0.5) / STEP_PX
    node = place.astype(np.intp)
    share = np.expand_dims(place - node, tuple(other for other in range(nodes.ndim) if other != axis))
    before, after = np.take(nodes, node, axis), np.take(nodes, node + 1, axis)
    between: NDArray[np.float64] = before + share * (after - before)
    return between


def _whole(places: NDArray[np.float64]) -> tuple[Indices, Indices]:
    """Rows and columns of the pixels at places of shape (..., 2), column before row."""
    known = np.isfinite(places)
    limit = float(1 << 40)
    whole = np.floor(np.round(np.clip(np.where(known, places, 0), -limit, limit), ROUNDED)).astype(np.int64)
    whole[~known] = NOWHERE
    return whole[..., 1], whole[..., 0]


def _is_upright(grid: Grid) -> bool:
    _, b, _, d, _, _ = grid.transform
    return b == d == 0
