"""Cells of ground, and which split owns each, so that no ground is in two splits.

Scenes may overlap and may have different CRSs, so the cells lie in one CRS for all. A scene without a CRS is ground of
its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from geoseg.errors import SettingsError
from geoseg.grid.window import Grid, Window
from geoseg.publish.geodesy.crs import transformer

TRAINING, VALIDATION, TEST, UNUSED = 0, 1, 2, 3
"""Splits of the ground."""
SPLITS = ("training", "validation", "test")
DRAWS = 256
"""Draws of which the one with the most even classes is taken."""
_GLOBAL_CRS = "EPSG:6933"
"""Equal area, in metres, for scenes with different CRSs."""
_BITS = 26
_HALF = 1 << (_BITS - 1)


@dataclass(frozen=True, slots=True)
class Cells:
    """Square cells of ground."""

    crs: str
    """CRS of the cells as WKT; empty if no scene has one."""
    side: float
    """Side of a cell, in units of the CRS."""
    pixel: float
    """Side of a pixel of the first scene in these units."""

    def codes(self, grid: Grid, pixel: NDArray[np.float64], scene: int) -> NDArray[np.int64]:
        """The cells of places of a scene.

        Args:
            grid: Grid of the scene.
            pixel: Places ``(col, row)``, shape (..., 2).
            scene: Number of the scene, from 1, for scenes without a CRS.

        Returns:
            A number for each cell, shape (...); -1 where the CRS of the cells has no such place.
        """
        xy = self.places(grid, pixel)
        with np.errstate(invalid="ignore"):
            col, row = (np.floor(xy[..., axis] / self.side) for axis in (0, 1))
            inside = (np.abs(col) < _HALF) & (np.abs(row) < _HALF)
        space = 0 if grid.crs else scene
        codes = (space << 2 * _BITS) + (np.where(inside, col, 0).astype(np.int64) + _HALF << _BITS)
        return np.where(inside, codes + np.where(inside, row, 0).astype(np.int64) + _HALF, -1)

    def places(self, grid: Grid, pixel: NDArray[np.float64]) -> NDArray[np.float64]:
        """Coordinates of places of a scene in the CRS of the cells, both of shape (..., 2)."""
        if not grid.crs:
            return pixel * self.pixel
        xy, moved = grid.to_crs(pixel), _transformer(grid.crs, self.crs)
        return xy if moved is None else np.stack(moved.transform(xy[..., 0], xy[..., 1]), axis=-1)

    def bounds(self, code: int) -> tuple[float, float, float, float]:
        """``(xmin, ymin, xmax, ymax)`` of a cell."""
        col = (code >> _BITS & (1 << _BITS) - 1) - _HALF
        row = (code & (1 << _BITS) - 1) - _HALF
        return col * self.side, row * self.side, (col + 1) * self.side, (row + 1) * self.side


@cache
def _transformer(source: str, target: str) -> Transformer | None:
    """None if both are the same CRS."""
    crss = CRS.from_wkt(source), CRS.from_wkt(target)
    return None if crss[0].equals(crss[1], ignore_axis_order=True) else transformer(*crss)


def make_cells(grids: Sequence[Grid], cell_px: int) -> Cells:
    """Cells for scenes: in their CRS if they share one, else in one for the whole earth.

    Args:
        grids: Grids of the scenes.
        cell_px: Side of a cell in pixels of the first scene.
    """
    first = grids[0]
    crss = {grid.crs for grid in grids if grid.crs}
    if len(crss) > 1:
        known = [CRS.from_wkt(crs) for crs in sorted(crss)]
        if all(known[0].equals(other, ignore_axis_order=True) for other in known):
            crss = {known[0].to_wkt()}
    whole = CRS(_GLOBAL_CRS).to_wkt() if len(crss) > 1 else next(iter(crss), "")
    cells = Cells(whole, 1.0, 1.0)
    middle = np.array([[0.0, 0.0], [1.0, 1.0]]) + np.array([first.width, first.height]) // 2
    corner, other = cells.places(first, middle)
    pixel = float(np.sqrt(np.abs(np.prod(other - corner)))) or 1.0
    if not np.isfinite(pixel):
        pixel = 1.0
    return Cells(whole, cell_px * pixel, pixel)


@dataclass(frozen=True, slots=True)
class Split:
    """The split of each cell of ground, or of each scene."""

    cells: Cells
    codes: NDArray[np.int64]
    """Cells with labels, ascending, shape (N,)."""
    owners: NDArray[np.uint8]
    """Split of each."""
    guard: float
    """Width of the guard band in units of the CRS."""
    scenes: dict[int, int]
    """Split of scenes that are given as a whole, by their number."""

    def owner_of(self, grid: Grid, window: Window, scene: int) -> NDArray[np.uint8]:
        """Split of each pixel, shape of the window; `UNUSED` in the guard band.

        Ground of the test is the test's. Ground of the validation nearer than the guard to that of the test is not
        used, nor is training ground near to either.
        """
        if scene in self.scenes:
            return np.full(window.shape, self.scenes[scene], np.uint8)
        middles = np.stack(np.meshgrid(*(np.arange(*span) + 0.5 for span in window.ranges[::-1])), axis=-1)
        guard_px = self.guard / self.cells.pixel
        own = self._look_up(self.cells.codes(grid, middles, scene))
        result = own.copy()
        for shift in product((-guard_px, 0, guard_px), repeat=2) if guard_px else ():
            near = self._look_up(self.cells.codes(grid, middles + np.array(shift), scene))
            result[(near != UNUSED) & (near > own)] = UNUSED
        return result

    def _look_up(self, codes: NDArray[np.int64]) -> NDArray[np.uint8]:
        place = np.minimum(np.searchsorted(self.codes, codes), len(self.codes) - 1)
        return np.where(self.codes[place] == codes, self.owners[place], np.uint8(UNUSED))


def draw_split(counts: NDArray[np.int64], validation: float, test: float, seed: int) -> NDArray[np.uint8]:
    """Draw the split of each cell; of several draws take the one in which the classes are the most alike.

    Args:
        counts: Pixels of each class in each cell, shape (N, K).
        validation: Share of the cells for validation.
        test: Share of the cells for the test.
        seed: Seed of the draws.

    Returns:
        The split of each cell, shape (N,).

    Raises:
        SettingsError: If there are too few cells.
    """
    number = len(counts)
    held = [max(1, round(share * number)) if share else 0 for share in (validation, test)]
    if number - sum(held) < 1:
        raise SettingsError(
            f"The labels lie in {number} cells of ground, too few to hold out {sum(held)}. Make split.cell_px smaller, "
            "or name whole scenes in split.validation and split.test."
        )
    choice = np.random.default_rng(seed)
    owners = np.repeat(np.array([TRAINING, VALIDATION, TEST], np.uint8), [number - sum(held), *held])
    best, least = owners, np.inf
    for _ in range(DRAWS):
        drawn = choice.permutation(owners)
        difference = _difference(counts, drawn)
        if difference < least:
            best, least = drawn, difference
    return best


def _difference(counts: NDArray[np.int64], owners: NDArray[np.uint8]) -> float:
    """How far the classes' shares of pixels in each split are from those of the cells; a lost class counts most."""
    total = counts.sum(0)
    result = 0.0
    for split in np.unique(owners).tolist():
        part = counts[owners == split]
        expected = total * (len(part) / len(counts))
        known = expected > 0
        result += float(np.abs(np.log((part.sum(0)[known] + 1) / (expected[known] + 1))).sum())
    return result
