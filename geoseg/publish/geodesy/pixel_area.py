"""Areas of pixels on the ground, as integers with exact sums.

The area of a polygon is the sum of the areas of its pixels. The area of a pixel depends only on its position in the
scene. So sums do not depend on the blocks, and the areas of all polygons add up exactly to that of the valid pixels.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil, log2, sqrt

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError

from geoseg.errors import SceneError
from geoseg.grid.window import Grid, Window
from geoseg.publish.geodesy.measure import NORTH, ellipsoid, horizontal, metres_per_unit, to_geodetic
from geoseg.vector.blocks import BlockLabels
from geoseg.vector.components import NO_COMPONENT

PLANAR_LIMIT = 0.01
"""A scene is planar if the areal scale of its projection differs from 1 by at most this everywhere in the scene."""
PROBES = 17
"""Sample points of the areal scale along each side of the scene, including both ends."""
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
                part = tile.intersect(window)
                if part is not None:
                    areas = _tile_areas(_ground(self.grid), tile, self.cell_px)
                    out[part.slices(window)] = _to_units(areas[part.slices(tile)], self.unit_m2)
        return out

    def in_m2(self, units: NDArray[np.int64]) -> NDArray[np.float64]:
        """Sums of units as square metres, of the same shape."""
        return units * np.float64(self.unit_m2)


@lru_cache(maxsize=16)
def pixel_area(grid: Grid) -> PixelArea:
    """Choose how the pixels of a scene are measured.

    Planar if the projection's areal scale is within 1 % of 1 in the whole scene, else geodesic. The scale is sampled at
    `PROBES` x `PROBES` pixels: planar area divided by the area on the CRS's own ellipsoid.

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
    ground = _ground(grid)
    if crs.is_geographic and grid.transform[1] == grid.transform[3] == 0:
        return _by_row(grid, _between_parallels(grid, ground), 1)
    probes = _probe(ground, 1)
    known = probes[np.isfinite(probes)]
    if not known.size:
        raise SceneError(
            f"The scene lies where {crs.name!r} has no longitude and latitude, so its areas are unknown. Check the "
            "scene's transform."
        )
    unit_m = metres_per_unit(crs)
    if unit_m is not None:
        pixel_m2 = grid.pixel_area * unit_m**2
        if (np.abs(pixel_m2 / known - 1) <= PLANAR_LIMIT).all():
            return PixelArea(grid, "planar", pixel_m2, pixel_m2)
    cell_px = MAX_CELL_PX
    while cell_px > 1 and cell_px * sqrt(known.max()) > CELL_M:
        cell_px //= 2
    probes = _probe(ground, cell_px)
    if np.isfinite(probes).all() and (np.ptp(probes, axis=1) <= ALIKE * probes.min(axis=1)).all():
        return _by_row(grid, _middle_column(ground, cell_px), cell_px)
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
        strip = core.intersect(Window(row, core.col, TILE_PX, core.width))
        if strip is None:
            continue
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


@dataclass(frozen=True, slots=True, eq=False)
class _Ground:
    """Transformation from pixels to the ellipsoid."""

    grid: Grid
    to_degrees: Transformer
    radians: float
    """Unit of longitude and latitude in radians."""
    axis_m: float
    """Equatorial radius in metres."""
    eccentricity2: float

    def points(self, row: NDArray[np.float64], col: NDArray[np.float64]) -> NDArray[np.float64]:
        """Cartesian coordinates on the ellipsoid in metres, shape (R, C, 3), for a lattice of rows and columns."""
        xy = self.grid.to_crs(np.stack(np.meshgrid(col, row), axis=-1))
        lon, lat = self.to_degrees.transform(xy[..., 0], xy[..., 1])
        lon, lat = np.asarray(lon) * self.radians, np.asarray(lat) * self.radians
        off = ~(np.isfinite(lon) & (np.abs(lat) <= np.radians(NORTH)))
        lon, lat = np.where(off, np.nan, lon), np.where(off, np.nan, lat)
        sine = np.sin(lat)
        normal = self.axis_m / np.sqrt(1 - self.eccentricity2 * sine**2)
        ring = normal * np.cos(lat)
        return np.stack([ring * np.cos(lon), ring * np.sin(lon), normal * (1 - self.eccentricity2) * sine], axis=-1)

    def areas(self, row: NDArray[np.float64], col: NDArray[np.float64]) -> NDArray[np.float64]:
        """Area in square metres of each quadrangle of the lattice, shape (R - 1, C - 1); NaN outside the CRS.

        Half the cross product of the diagonals in space, which has no singularity at poles or the antimeridian.
        """
        corners = self.points(row, col)
        cross = np.cross(corners[1:, 1:] - corners[:-1, :-1], corners[1:, :-1] - corners[:-1, 1:])
        return np.asarray(np.sqrt((cross**2).sum(axis=-1)) / 2)


@lru_cache(maxsize=16)
def _ground(grid: Grid) -> _Ground:
    crs = CRS.from_wkt(grid.crs)
    axis_m, eccentricity2, radians = ellipsoid(crs)
    return _Ground(grid, to_geodetic(crs), radians, axis_m, eccentricity2)


def _probe(ground: _Ground, side_px: int) -> NDArray[np.float64]:
    """Area of a pixel on the ground, from squares at `PROBES` x `PROBES` points; NaN outside the CRS."""
    grid = ground.grid
    side = min(side_px, grid.height, grid.width)
    rows, cols = (
        np.add.outer(np.linspace(0, size - side, PROBES), [0, side]).ravel() for size in (grid.height, grid.width)
    )
    return ground.areas(rows, cols)[::2, ::2] / side**2


def _tile_areas(ground: _Ground, tile: Window, cell_px: int) -> NDArray[np.float64]:
    """Areas of the pixels of a tile, which may reach beyond the scene, in square metres; NaN outside the CRS."""
    rows, cols = _lines(tile.row, tile.height, cell_px), _lines(tile.col, tile.width, cell_px)
    nodes = ground.areas(rows, cols) / cell_px**2
    if np.isfinite(nodes).all():
        return _interpolate(_interpolate(nodes, cell_px).T, cell_px).T
    # At the edge of the area where the CRS is defined, each pixel is measured by its own corners.
    return ground.areas(tile.row + np.arange(tile.height + 1.0), tile.col + np.arange(tile.width + 1.0))


def _middle_column(ground: _Ground, cell_px: int) -> NDArray[np.float64]:
    """Area of a pixel of each row, shape (height,), in square metres."""
    height, middle = ground.grid.height, ground.grid.width / 2
    rows = _lines(0, ceil(height / cell_px) * cell_px, cell_px)
    nodes = ground.areas(rows, middle + np.array([-0.5, 0.5]) * cell_px) / cell_px**2
    if np.isfinite(nodes).all():
        return np.asarray(_interpolate(nodes, cell_px)[:height, 0])
    return ground.areas(np.arange(height + 1.0), middle + np.array([-0.5, 0.5]))[:, 0]


def _lines(start: int, length: int, cell_px: int) -> NDArray[np.float64]:
    """Lines of a lattice whose squares are centred on the corners of cells."""
    return np.arange(length // cell_px + 2, dtype=np.float64) * cell_px + (start - cell_px / 2)


def _interpolate(nodes: NDArray[np.float64], cell_px: int) -> NDArray[np.float64]:
    """Interpolate values at pixel centres from those at the corners of cells, along the first axis."""
    share: NDArray[np.float64] = ((np.arange(cell_px) + 0.5) / cell_px)[:, None]
    between: NDArray[np.float64] = nodes[:-1, None] * (1 - share) + nodes[1:, None] * share
    return between.reshape(-1, nodes.shape[1])


def _between_parallels(grid: Grid, ground: _Ground) -> NDArray[np.float64]:
    """Area in square metres of a pixel of each row, between parallels and meridians (Snyder 1987, equation 3-12)."""
    a, _, _, _, e, f = grid.transform
    latitude = (e * np.arange(grid.height + 1) + f) * ground.radians
    latitude[np.abs(latitude) > np.radians(NORTH)] = np.nan
    sine, eccentricity = np.sin(latitude), sqrt(ground.eccentricity2)
    part = np.arctanh(eccentricity * sine) / eccentricity if eccentricity else sine
    zone = ground.axis_m**2 * (1 - ground.eccentricity2) * (sine / (1 - (eccentricity * sine) ** 2) + part) / 2
    return np.asarray(np.abs(a) * ground.radians * np.abs(np.diff(zone)))


def _by_row(grid: Grid, areas: NDArray[np.float64], cell_px: int) -> PixelArea:
    known = areas[np.isfinite(areas)]
    if not known.size:
        raise SceneError(
            f"The scene lies where {CRS.from_wkt(grid.crs).name!r} has no longitude and latitude, so its areas are "
            "unknown. Check the scene's transform."
        )
    unit_m2 = _unit(float(known.sum()) * grid.width)
    return PixelArea(grid, "geodesic", unit_m2, float(known.mean()), _to_units(areas, unit_m2), cell_px)


def _unit(total_m2: float) -> float:
    """The power of two of which a total has about `TOTAL_BITS` bits."""
    return float(2.0 ** (ceil(log2(total_m2)) - TOTAL_BITS))


def _to_units(areas: NDArray[np.float64], unit_m2: float) -> NDArray[np.int64]:
    known = np.isfinite(areas)
    units = np.maximum(np.rint(areas * (1 / unit_m2)), 1)
    return (units if known.all() else np.where(known, units, 0)).astype(np.int64)
