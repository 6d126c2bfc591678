"""The common grid of sources."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.warp import transform_bounds

from geoseg.errors import SceneError, SettingsError
from geoseg.grid.window import Grid, Window
from geoseg.mosaic_settings import GridSettings
from geoseg.raster.mosaic.placement import crs_of, extent, offset_px, same_crs
from geoseg.raster.source.env import gdal_env

EARTH_M = 4.1e7
"""A little more than the circumference of the earth."""
_SNAP_PX = 1e-6


def fit_grid(grids: Sequence[Grid], settings: GridSettings, name: str) -> tuple[Grid, NDArray[np.int64]]:
    """Choose the grid of a mosaic, and place its sources on it.

    Without settings it is the lattice of pixels that most sources share (the first such lattice), as far as they reach.

    Args:
        grids: Those of the sources.
        settings: What to choose instead.
        name: Of the mosaic, for messages.

    Returns:
        The grid, and the window of each source on it, shape (N, 4): row, column, and the first row and column after it;
        empty (zeros) for a source outside.

    Raises:
        SceneError: If the grid would be larger than the earth, or no source touches it.
        SettingsError: If the settings name no usable CRS.
    """
    with gdal_env():
        lattice = _lattice(grids, settings, name)
        placed = [extent(grid, lattice) for grid in grids]
        around = _around(placed) if settings.bounds is None else _from_bounds(settings.bounds, lattice)
        if around is None:
            raise SceneError(f"{name}: none of its {len(grids)} items has a place in its CRS. Correct grid.crs.")
        grid = _cut(lattice, around)
        _check_size(grid, name)
    windows = [None if window is None else window.intersect(around) for window in placed]
    rows = [
        (0, 0, 0, 0)
        if window is None
        else (
            window.row - around.row,
            window.col - around.col,
            window.row_stop - around.row,
            window.col_stop - around.col,
        )
        for window in windows
    ]
    if not any(windows):
        raise SceneError(f"{name}: none of its {len(grids)} items touches grid.bounds={list(settings.bounds or ())}.")
    return grid, np.array(rows, np.int64)


def _lattice(grids: Sequence[Grid], settings: GridSettings, name: str) -> Grid:
    """A grid whose pixels, continued in all directions, are those of the mosaic."""
    common = _most_common(grids)
    if settings.crs is None and settings.resolution_m is None:
        return common
    crs = common.crs
    if settings.crs is not None:
        try:
            crs = CRS.from_user_input(settings.crs).to_wkt(version="WKT2_2019")
        except CRSError as error:
            raise SettingsError(f"{name}: grid.crs={settings.crs!r} is no CRS. Use EPSG:nnnn or WKT.") from error
        inside = [grid for grid in grids if same_crs(grid.crs, crs)]
        if settings.resolution_m is None and inside:
            return _most_common(inside)
    if not crs:
        raise SceneError(f"{name}: its items have no CRS, so grid.resolution_m has no meaning. Leave it out.")
    side = _side(common, crs) if settings.resolution_m is None else _to_units(settings.resolution_m, crs, name)
    # From a corner of the items, so that those of this resolution are copied. In a CRS that was asked for, from
    # multiples of the side, so that mosaics fit together.
    x, y = (common.transform[2], common.transform[5]) if settings.crs is None else (0.0, 0.0)
    return Grid(1, 1, (side, 0.0, x, 0.0, -side, y), crs)


def _most_common(grids: Sequence[Grid]) -> Grid:
    """The first grid of the largest group that shares a lattice."""
    groups: list[tuple[Grid, list[int]]] = []
    for grid in grids:
        for reference, count in groups:
            if offset_px(grid, reference) is not None:
                count[0] += 1
                break
        else:
            groups.append((grid, [1]))
    return max(groups, key=lambda group: group[1][0])[0]


def _side(grid: Grid, crs: str) -> float:
    """Side of a pixel in units of a CRS that keeps about the detail of a grid in another."""
    corners = grid.to_crs(np.array([[0.0, 0.0], [grid.width, 0.0], [0.0, grid.height], [grid.width, grid.height]]))
    bounds = (*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())
    left, bottom, right, top = transform_bounds(crs_of(grid.crs), crs_of(crs), *bounds)
    exact = math.hypot(right - left, top - bottom) / math.hypot(grid.width, grid.height)
    return float(f"{exact:.3g}")


def _to_units(metres: float, crs: str, name: str) -> float:
    if crs_of(crs).is_geographic:
        raise SettingsError(
            f"{name}: grid.resolution_m={metres:g} needs a CRS in metres, and its CRS is in degrees. Give grid.crs "
            "too, such as EPSG:32633, or leave grid.resolution_m out."
        )
    return metres / float(crs_of(crs).linear_units_factor[1])


def _around(windows: Sequence[Window | None]) -> Window | None:
    there = np.array([(w.row, w.col, w.row_stop, w.col_stop) for w in windows if w is not None])
    if not len(there):
        return None
    return Window.from_bounds(*there[:, :2].min(axis=0).tolist(), *there[:, 2:].max(axis=0).tolist())


def _from_bounds(bounds: Sequence[float], lattice: Grid) -> Window:
    xmin, ymin, xmax, ymax = bounds
    corners = lattice.to_pixel(np.array([[xmin, ymin], [xmin, ymax], [xmax, ymin], [xmax, ymax]]))
    col, row = np.floor(corners.min(axis=0) + _SNAP_PX).astype(int).tolist()
    col_stop, row_stop = np.ceil(corners.max(axis=0) - _SNAP_PX).astype(int).tolist()
    return Window.from_bounds(row, col, max(row_stop, row + 1), max(col_stop, col + 1))


def _cut(lattice: Grid, window: Window) -> Grid:
    x, y = lattice.to_crs(np.array([float(window.col), float(window.row)])).tolist()
    a, b, _, d, e, _ = lattice.transform
    return replace(lattice, height=window.height, width=window.width, transform=(a, b, x, d, e, y))


def _check_size(grid: Grid, name: str) -> None:
    """Refuse a grid that is larger than the earth: an item lies elsewhere, or has a wrong CRS."""
    if not grid.crs:
        return
    a, b, _, d, e, _ = grid.transform
    sides = (grid.width * math.hypot(a, d), grid.height * math.hypot(b, e))
    crs = crs_of(grid.crs)
    geographic = crs.is_geographic
    sides_m = [side * (EARTH_M / 361 if geographic else float(crs.linear_units_factor[1])) for side in sides]
    if max(sides_m) > EARTH_M:
        raise SceneError(
            f"{name}: its items reach over {sides_m[0] / 1000:,.0f} x {sides_m[1] / 1000:,.0f} km, more than the "
            "earth. One of them lies far away or has a wrong CRS: leave it out, or set grid.bounds."
        )
