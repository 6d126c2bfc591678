"""Areas of pixels on the ground, as integers with exact sums.

The area of a polygon is the sum of the areas of its pixels. The area of a pixel depends only on its position in the
scene. So sums do not depend on the blocks, and the areas of all polygons add up exactly to that of the valid pixels.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil, log2, sqrt

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS
from pyproj.exceptions import CRSError

from geoseg.errors import SceneError
from geoseg.grid.window import Grid, Window
from geoseg.publish.geodesy.ground import (
    areas_between_parallels,
    ground_of,
    middle_column,
    probe_areas,
    tile_areas,
)
from geoseg.publish.geodesy.measure import horizontal, metres_per_unit
from geoseg.vector.blocks import BlockLabels
from geoseg.vector.labels.components import NO_COMPONENT

PLANAR_LIMIT = 0.01
"""A scene is planar if the areal scale of its projection differs from 1 by at most this everywhere in the scene."""
ALIKE = 1e-7
"""Relative difference of pixel areas in a row that is neglected."""
TILE_PX = 256
"""Side of the squares of pixels that are measured together. A multiple of `MAX_CELL_PX`."""
MAX_CELL_PX = 64
CELL_M = 16_000
"""Largest side of the cells in which pixel areas are interpolated; the relative error is below 1e-6."""
TOTAL_BITS = 52
"""Approximate bits of the area of a whole scene in units. Float64 has 53, so sums of areas are exact in it."""


@dataclass(frozen=True, slots=True, eq=False)
class PixelArea:
    """Areas of the pixels of a scene.

    Planar: every pixel has the area given by the transform. Geodesic: a pixel has its area on the ellipsoid,
    rounded to a multiple of ``unit_m2``. In a north-up scene of geographic coordinates that is the exact area between
    its parallels and meridians. In any other scene it is interpolated linearly between the corners of cells, squares of
    up to 64 pixels that start at the scene's pixel (0, 0), from the areas on the ground of the squares of that size
    around these corners. In a cylindrical projection this is done for the middle column alone.
    """

    grid: Grid
    """The scene's grid."""
    method: str
    """``planar`` or ``geodesic``."""
    unit_m2: float
    """Area of one unit, in square metres: of a pixel if planar, else a power of two."""
    mean_m2: float
    """Mean area of a pixel: over all rows, or over the sample points of the areal scale."""
    by_row: NDArray[np.int64] | None = None
    """Units of a pixel of each row, shape (height,), where all pixels of a row have the same area; else None."""
    cell_px: int = 1
    """Side of a cell in pixels, a power of two; see above."""

    def units(self, window: Window) -> NDArray[np.int64]:
        """Area of each pixel of a window of the scene, shape (H, W), read-only.

        1 everywhere if planar. 0 where a pixel has no longitude and latitude.
        """
        if self.method == "planar":
            return np.broadcast_to(np.int64(1), window.shape)
        if self.by_row is not None:
            return np.broadcast_to(self.by_row[window.row : window.row_stop, None], window.shape)
        out = np.empty(window.shape, np.int64)
        for row in range(window.row // TILE_PX * TILE_PX, window.row_stop, TILE_PX):
            for col in range(window.col // TILE_PX * TILE_PX, window.col_stop, TILE_PX):
                tile = Window(row, col, TILE_PX, TILE_PX)
                if part := tile.intersect(window):
                    areas = tile_areas(ground_of(self.grid), tile, self.cell_px)
                    out[part.slices(window)] = _to_units(areas[part.slices(tile)], self.unit_m2)
        return out

    def in_m2(self, units: NDArray[np.int64]) -> NDArray[np.float64]:
        """Sums of units as square metres, of the same shape."""
        return units * np.float64(self.unit_m2)


@lru_cache(maxsize=16)
def pixel_area(grid: Grid) -> PixelArea:
    """Choose how the pixels of a scene are measured.

    Planar if the projection's areal scale is within 1 % of 1 in the whole scene, else geodesic. The scale is
    planar area divided by the area on the CRS's own ellipsoid, at the points of `geodesy.ground.probe_areas`.

    Args:
        grid: The scene's grid, with a CRS.

    Raises:
        SceneError: If PROJ cannot read the CRS, it has no ellipsoid, or is not defined anywhere in the scene.
    """
    try:
        crs = horizontal(CRS.from_wkt(grid.crs))
    except CRSError as error:
        raise SceneError(
            f"PROJ cannot read the scene's CRS ({error}). Give it one that PROJ knows: gdal_edit.py -a_srs CRS FILE."
        ) from error
    ground = ground_of(grid)
    if crs.is_geographic and grid.transform[1] == grid.transform[3] == 0:
        return _by_row(grid, areas_between_parallels(ground), 1)
    known = _known(grid, probe_areas(ground, 1))
    unit_m = metres_per_unit(crs)
    if unit_m is not None:
        pixel_m2 = grid.pixel_area * unit_m**2
        if (np.abs(pixel_m2 / known - 1) <= PLANAR_LIMIT).all():
            return PixelArea(grid, "planar", pixel_m2, pixel_m2)
    cell_px = MAX_CELL_PX
    while cell_px > 1 and cell_px * sqrt(known.max()) > CELL_M:
        cell_px //= 2
    probes = probe_areas(ground, cell_px)
    if np.isfinite(probes).all() and (np.ptp(probes, axis=1) <= ALIKE * probes.min(axis=1)).all():
        return _by_row(grid, middle_column(ground, cell_px), cell_px)
    unit_m2 = _unit(2 * float(known.max()) * grid.window.pixels)
    return PixelArea(grid, "geodesic", unit_m2, float(known.mean()), None, cell_px)


def mean_pixel_m2(grid: Grid) -> float | None:
    """Mean area of a pixel in square metres; None if the scene is not georeferenced."""
    try:
        return pixel_area(grid).mean_m2 if grid.crs else None
    except SceneError:
        return None


def add_areas(block: BlockLabels, area: PixelArea) -> BlockLabels:
    """Add the sums of pixel areas to the components of a block; not needed in a planar scene.

    Raises:
        SceneError: If a valid pixel has no longitude and latitude.
    """
    if area.method == "planar":
        return block
    core, runs, total = block.core, block.labels, np.zeros(len(block.components), np.int64)
    for row in range(core.row // TILE_PX * TILE_PX, core.row_stop, TILE_PX):
        strip = Window.from_bounds(max(row, core.row), core.col, min(row + TILE_PX, core.row_stop), core.col_stop)
        offsets = runs.offsets[strip.row - core.row : strip.row_stop - core.row + 1]
        label, start = (column[offsets[0] : offsets[-1]] for column in (runs.values, runs.starts))
        first = np.repeat(np.arange(strip.height) * core.width, np.diff(offsets)) + start
        if area.by_row is not None:
            length = np.diff(first, append=strip.pixels)
            least = area.by_row[strip.row + first // core.width]
            sums = least * length
        else:
            units = area.units(strip).ravel()
            least, sums = np.minimum.reduceat(units, first), np.add.reduceat(units, first)
        inside = label != NO_COMPONENT
        if not least[inside].all():
            raise SceneError(
                f"Some valid pixels lie where {CRS.from_wkt(area.grid.crs).name!r} has no longitude and latitude, so "
                "their area is unknown. Mask those pixels as nodata, or check the scene's transform."
            )
        np.add.at(total, label[inside], sums[inside])
    return replace(block, components=replace(block.components, area_units=total))


def _known(grid: Grid, areas: NDArray[np.float64]) -> NDArray[np.float64]:
    """The areas that are finite, shape (N,), at least one."""
    known: NDArray[np.float64] = areas[np.isfinite(areas)]
    if not known.size:
        raise SceneError(
            f"The scene lies where {CRS.from_wkt(grid.crs).name!r} has no longitude and latitude, so its areas are "
            "unknown. Check the scene's transform."
        )
    return known


def _by_row(grid: Grid, areas: NDArray[np.float64], cell_px: int) -> PixelArea:
    known = _known(grid, areas)
    unit_m2 = _unit(float(known.sum()) * grid.width)
    return PixelArea(grid, "geodesic", unit_m2, float(known.mean()), _to_units(areas, unit_m2), cell_px)


def _unit(total_m2: float) -> float:
    """The power of two of which a total has about `TOTAL_BITS` bits."""
    return float(2.0 ** (ceil(log2(total_m2)) - TOTAL_BITS))


def _to_units(areas: NDArray[np.float64], unit_m2: float) -> NDArray[np.int64]:
    known = np.isfinite(areas)
    units = np.maximum(np.rint(areas * (1 / unit_m2)), 1)
    return (units if known.all() else np.where(known, units, 0)).astype(np.int64)
