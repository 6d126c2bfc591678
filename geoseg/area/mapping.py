"""From the CRS of an area of interest to the pixels of a scene."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from geoseg.grid.window import Grid
from geoseg.publish.geodesy.crs import transformer

MAX_OFFSET_PX = 1 / 256
"""Largest distance between an edge and the true curve, in pixels, at its quarter points."""
MAX_DEGREES = 90
"""Edges over more degrees of longitude get points, so that it is known which way around the earth they run."""
MAX_HALVINGS = 24

Points = NDArray[np.float64]
"""Shape (N, 2), x before y or column before row."""
Shares = NDArray[np.float64]
"""Positions on edges from 0, the start, to 1, the end; shape (N,)."""


@dataclass(frozen=True, slots=True)
class Mapping:
    """Transforms points of an area to a scene."""

    grid: Grid
    to_scene: Transformer
    from_degrees: bool
    """The CRS of the area is geographic."""
    to_degrees: bool
    """The CRS of the scene is geographic."""

    @classmethod
    def of(cls, crs: CRS, grid: Grid) -> Self:
        """Find the transformation; raises SceneError if PROJ has none."""
        own = CRS.from_wkt(grid.crs)
        return cls(grid, transformer(crs, own), crs.is_geographic, own.is_geographic)

    def move(self, xy: Points) -> Points:
        """Transform to the CRS of the scene; NaN where that is not defined."""
        x, y = (np.where(np.isfinite(one), one, np.nan) for one in self.to_scene.transform(*xy.T))
        if self.from_degrees and self.to_degrees:  # longitudes of an area may go on beyond 180 degrees
            x = x + 360 * np.rint((xy[:, 0] - x) / 360)
        return np.column_stack([x, y])

    def place(self, ring: Points) -> list[Points]:
        """Transform a closed ring to pixels; in a scene of degrees once for each turn around the earth.

        Straight edges become curves, so they get points until they are within `MAX_OFFSET_PX`.

        Raises:
            ValueError: If the ring holds a pole or a point that the CRS of the scene does not have.
        """
        xy = self.move(self._densify(ring))
        if not np.isfinite(xy).all():
            raise ValueError("reaches beyond where the CRS of the scene is defined")
        if not self.to_degrees:
            return [self.grid.to_pixel(xy)]
        if not self.from_degrees:
            xy[:, 0] = np.unwrap(xy[:, 0], period=360)
            if abs(xy[0, 0] - xy[-1, 0]) > 180:
                raise ValueError("holds a pole, where longitudes end")
        return [self.grid.to_pixel(xy + np.array([turn, 0])) for turn in (-360, 0, 360)]

    def _densify(self, ring: Points) -> Points:
        """Insert points where a straight edge is off; which ones depends on the edge alone, not on its direction."""
        start, end = ring[:-1], ring[1:]
        back = (start[:, 0] > end[:, 0]) | ((start[:, 0] == end[:, 0]) & (start[:, 1] > end[:, 1]))
        start, end = np.where(back[:, None], end, start), np.where(back[:, None], start, end)
        edge, low, high = np.arange(len(start)), np.zeros(len(start)), np.ones(len(start))
        edges, shares = [edge], [back.astype(np.float64)]
        for _ in range(MAX_HALVINGS):
            bent = self._is_bent(start[edge], end[edge], low, high)
            edge, low, high = edge[bent], low[bent], high[bent]
            middle = (low + high) / 2
            edges.append(edge)
            shares.append(middle)
            edge, low, high = np.tile(edge, 2), np.concatenate([low, middle]), np.concatenate([middle, high])
        edge, share = np.concatenate(edges), np.concatenate(shares)
        order = np.lexsort([np.where(back[edge], -share, share), edge])
        points = _between(start[edge[order]], end[edge[order]], share[order])
        return np.concatenate([points, points[:1]])

    def _is_bent(self, start: Points, end: Points, low: Shares, high: Shares) -> NDArray[np.bool_]:
        """Return whether the part of each edge between two shares is far from a straight line in the scene."""
        ends = [self.move(_between(start, end, share)) for share in (low, high)]
        there, then = (self.grid.to_pixel(xy) for xy in ends)
        along = then - there
        squared = np.maximum((along**2).sum(axis=1), np.finfo(np.float64).tiny)
        farthest = np.zeros(len(start))
        for part in (0.25, 0.5, 0.75):
            point = self.grid.to_pixel(self.move(_between(start, end, low + part * (high - low)))) - there
            nearest = np.clip((point * along).sum(axis=1) / squared, 0, 1)[:, None] * along
            farthest = np.fmax(farthest, np.hypot(*(point - nearest).T))
        degrees = np.abs(ends[1][:, 0] - ends[0][:, 0])
        unclear = degrees > MAX_DEGREES if self.to_degrees and not self.from_degrees else False
        bent: NDArray[np.bool_] = (farthest > MAX_OFFSET_PX) | unclear
        return bent


def _between(start: Points, end: Points, share: Shares) -> Points:
    """Points on edges; exactly the ends at 0 and 1."""
    weight = share[:, None]
    return np.where(weight == 1, end, start + weight * (end - start))
