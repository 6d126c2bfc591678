"""Areas of pixels and cells on the ellipsoid of a scene's CRS, in square metres."""

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from geoseg.grid.window import Grid, Window
from geoseg.publish.geodesy.measure import NORTH, ellipsoid, to_geodetic

PROBES = 17
"""Sample points of the areal scale along each side of the scene, including both ends."""


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
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
def ground_of(grid: Grid) -> Ground:
    """Transformation from the pixels of a grid with a CRS to its ellipsoid; errors as of `measure.ellipsoid`."""
    crs = CRS.from_wkt(grid.crs)
    axis_m, eccentricity2, radians = ellipsoid(crs)
    return Ground(grid, to_geodetic(crs), radians, axis_m, eccentricity2)


def probe_areas(ground: Ground, side_px: int) -> NDArray[np.float64]:
    """Area of a pixel on the ground, from squares at `PROBES` x `PROBES` points; NaN outside the CRS."""
    grid = ground.grid
    side = min(side_px, grid.height, grid.width)
    rows, cols = (
        np.add.outer(np.linspace(0, size - side, PROBES), [0, side]).ravel() for size in (grid.height, grid.width)
    )
    return ground.areas(rows, cols)[::2, ::2] / side**2


def tile_areas(ground: Ground, tile: Window, cell_px: int) -> NDArray[np.float64]:
    """Areas of the pixels of a tile, which may reach beyond the scene, in square metres; NaN outside the CRS."""
    rows, cols = _lines(tile.row, tile.height, cell_px), _lines(tile.col, tile.width, cell_px)
    nodes = ground.areas(rows, cols) / cell_px**2
    if np.isfinite(nodes).all():
        return _interpolate(_interpolate(nodes, cell_px).T, cell_px).T
    # At the edge of the area where the CRS is defined, each pixel is measured by its own corners.
    return ground.areas(tile.row + np.arange(tile.height + 1.0), tile.col + np.arange(tile.width + 1.0))


def middle_column(ground: Ground, cell_px: int) -> NDArray[np.float64]:
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


def areas_between_parallels(ground: Ground) -> NDArray[np.float64]:
    """Area in square metres of a pixel of each row, between parallels and meridians (Snyder 1987, equation 3-12)."""
    a, _, _, _, e, f = ground.grid.transform
    latitude = (e * np.arange(ground.grid.height + 1) + f) * ground.radians
    latitude[np.abs(latitude) > np.radians(NORTH)] = np.nan
    sine, eccentricity = np.sin(latitude), sqrt(ground.eccentricity2)
    part = np.arctanh(eccentricity * sine) / eccentricity if eccentricity else sine
    zone = ground.axis_m**2 * (1 - ground.eccentricity2) * (sine / (1 - (eccentricity * sine) ** 2) + part) / 2
    return np.asarray(np.abs(a) * ground.radians * np.abs(np.diff(zone)))
