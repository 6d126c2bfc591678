"""An area of interest on the grid of a scene: the pixels that get a class."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from geoseg.grid.tiling import Tiling
from geoseg.grid.window import Window
from geoseg.raster.validity.scanline import Edges, Runs, find_runs, paint

Range = tuple[int, int]
"""First row or column, and the one after the last."""

BAND_ROWS = 1024
"""Rows of a scene whose runs are in memory together."""


@dataclass(frozen=True, slots=True)
class Area:
    """The pixels of a scene whose centre lies in an area. Built by `Area.of`; equal if the pixels are.

    Pixels outside get no class, but the model sees them: those inside have the class that they have in the whole scene.
    """

    pixels: int
    """Number of pixels."""
    bounds: Window | None
    """The smallest window that holds them; None if there are none."""
    digest: str
    """Identifies the pixels."""
    edges: bytes = field(compare=False, repr=False)
    """See `geoseg.raster.validity.scanline.Edges`."""

    @classmethod
    def of(cls, edges: Edges, scene: Window) -> "Area":
        """Find the pixels of a scene within closed rings, see `find_runs`."""
        edges = _beside(edges, scene)
        pixels, sha256 = 0, hashlib.sha256()
        low, high = np.array([scene.row_stop, scene.col_stop]), np.array([scene.row, scene.col])
        for runs in _bands(edges, scene):
            if not len(runs):
                continue
            sha256.update(runs.astype("<i8").tobytes())
            pixels += int((runs[:, 2] - runs[:, 1]).sum())
            low = np.minimum(low, runs[:, :2].min(axis=0))
            high = np.maximum(high, [runs[-1, 0] + 1, runs[:, 2].max()])
        bounds = Window.from_bounds(*low.tolist(), *high.tolist()) if pixels else None
        return cls(pixels, bounds, sha256.hexdigest()[:32], np.ascontiguousarray(edges, np.float64).tobytes())

    def runs(self, window: Window) -> Runs:
        """The pixels of a window that belong to the area."""
        return find_runs(np.frombuffer(self.edges, np.float64).reshape(-1, 4), window)

    def mask(self, window: Window) -> NDArray[np.bool_]:
        """True for the pixels of a window that belong to the area; shape of the window."""
        if self.bounds is None or self.bounds.intersect(window) is None:
            return np.zeros(window.shape, np.bool_)
        return paint(self.runs(window), window)

    def touched(self, tiling: Tiling) -> tuple[int, int]:
        """Count the blocks that are read for the area, and the patches that hold a pixel of it."""
        lattice = tiling.lattice
        blocks = (
            [tiling.block(row, 0).read.ranges[0] for row in range(tiling.block_rows)],
            [tiling.block(0, col).read.ranges[1] for col in range(tiling.block_cols)],
        )
        patches = (
            [lattice.patch(i, 0).ranges[0] for i in range(lattice.rows.count)],
            [lattice.patch(0, j).ranges[1] for j in range(lattice.cols.count)],
        )
        return self._count(lattice.scene, *blocks), self._count(lattice.scene, *patches)

    def _count(self, scene: Window, rows: Sequence[Range], cols: Sequence[Range]) -> int:
        """Count the rectangles of rows and columns that hold a pixel of the area."""
        starts, stops = np.minimum(cols, scene.col_stop).T
        count = 0
        for row, row_stop in rows:
            window = Window(row, 0, row_stop - row, scene.width).intersect(scene)
            if window is None or self.bounds is None or self.bounds.intersect(window) is None:
                continue
            _, first, stop = self.runs(window).T
            steps = np.bincount(first, minlength=scene.width + 1) - np.bincount(stop, minlength=scene.width + 1)
            covered = np.concatenate([[0], np.cumsum(np.cumsum(steps) > 0)])
            count += int(np.count_nonzero(covered[stops] > covered[starts]))
        return count


def _beside(edges: Edges, scene: Window) -> Edges:
    """The edges in the rows of a scene; others decide no pixel."""
    rows = edges[:, 1::2]
    beside: Edges = edges[(rows.max(axis=1) > scene.row) & (rows.min(axis=1) < scene.row_stop)]
    return beside


def _bands(edges: Edges, scene: Window) -> Iterator[Runs]:
    """The runs of a scene, in bands of rows."""
    for row in range(scene.row, scene.row_stop, BAND_ROWS):
        band = Window(row, scene.col, BAND_ROWS, scene.width).intersect(scene)
        if band is not None:
            yield find_runs(edges, band)
