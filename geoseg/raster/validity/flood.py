"""Flood fill from the rim of a scene, in tiles, so that memory does not grow with what lies inside.

Only tiles that the flood reaches are read. In each, regions are found once; a region is flooded if it touches the rim,
or a flooded region across the edge of a tile. The result is that of the whole scene, whatever the tiles.
"""

import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from geoseg.grid.window import Window
from geoseg.raster.validity.scanline import Runs

TILE_PX = 2048
Passable = Callable[[Window], NDArray[np.bool_]]
"""True for the pixels of a window through which the flood passes."""
_SIDES = {(-1, 0): np.s_[0, :], (1, 0): np.s_[-1, :], (0, -1): np.s_[:, 0], (0, 1): np.s_[:, -1]}
"""Steps to neighbouring tiles, and the pixels of a tile beside them."""


@dataclass(slots=True)
class _Tile:
    """The regions of passable pixels in a tile; pixels of a region share a side."""

    window: Window
    packed: bytes
    """Passable pixels, compressed."""
    edges: dict[tuple[int, int], NDArray[np.int32]]
    """Numbers of the regions along each side; 0 where a pixel is not passable."""
    flooded: NDArray[np.bool_]
    """By number of the region."""


def flood(shape: tuple[int, int], passable: Passable, tile_px: int = TILE_PX) -> Runs:
    """Find all passable pixels that are connected with the rim, over pixels that share a side.

    Args:
        shape: Height and width of the scene.
        passable: Reads a tile.
        tile_px: Side of a tile. Changes no result.
    """
    height, width = shape
    tiles: dict[tuple[int, int], _Tile] = {}
    last = (height - 1) // tile_px, (width - 1) // tile_px

    def tile_at(row: int, col: int) -> _Tile:
        if (row, col) not in tiles:
            window = Window(row * tile_px, col * tile_px, tile_px, tile_px).intersect(Window(0, 0, height, width))
            if window is None:
                raise ValueError(f"Tile ({row}, {col}) lies outside {shape}.")
            tiles[row, col] = _read(window, passable)
        return tiles[row, col]

    pending: deque[tuple[tuple[int, int], NDArray[np.int32]]] = deque()
    for row in range(last[0] + 1):
        for col in range(last[1] + 1) if row in (0, last[0]) else sorted({0, last[1]}):
            outer = [step for step in _SIDES if not _is_inside(row + step[0], col + step[1], last)]
            pending += [((row, col), tile_at(row, col).edges[step]) for step in outer]
    while pending:
        (row, col), regions = pending.popleft()
        tile = tiles[row, col]
        new = np.unique(regions[~tile.flooded[regions]])
        new = new[new > 0]
        if not len(new):
            continue
        tile.flooded[new] = True
        for (down, right), edge in tile.edges.items():
            touching = np.isin(edge, new)
            if touching.any() and _is_inside(row + down, col + right, last):
                there = tile_at(row + down, col + right)
                pending.append(((row + down, col + right), there.edges[-down, -right][touching]))
    return _runs_of([tiles[place] for place in sorted(tiles)])


def _is_inside(row: int, col: int, last: tuple[int, int]) -> bool:
    return 0 <= row <= last[0] and 0 <= col <= last[1]


def _read(window: Window, passable: Passable) -> _Tile:
    mask = passable(window)
    regions, count = label(mask)
    edges = {step: regions[side].copy() for step, side in _SIDES.items()}
    return _Tile(window, zlib.compress(np.packbits(mask).tobytes(), 1), edges, np.zeros(count + 1, np.bool_))


def _runs_of(tiles: list[_Tile]) -> Runs:
    """Runs of the flooded pixels of all tiles, joined where they touch."""
    parts = [np.empty((0, 3), np.int64)]
    for tile in tiles:
        if not tile.flooded.any():
            continue
        bits = np.frombuffer(zlib.decompress(tile.packed), np.uint8)
        mask = np.unpackbits(bits, count=tile.window.pixels).view(np.bool_).reshape(tile.window.shape)
        steps = np.diff(tile.flooded[label(mask)[0]].astype(np.int8), axis=1, prepend=0, append=0)
        (rows, starts), (_, stops) = (steps == 1).nonzero(), (steps == -1).nonzero()
        parts.append(np.column_stack([rows + tile.window.row, starts + tile.window.col, stops + tile.window.col]))
    runs = np.concatenate(parts)
    runs = runs[np.lexsort([runs[:, 1], runs[:, 0]])]
    joins = (runs[1:, 0] == runs[:-1, 0]) & (runs[1:, 1] == runs[:-1, 2])
    first, final = (
        np.flatnonzero(~np.append(False, joins)[: len(runs)]),
        np.flatnonzero(~np.append(joins, False)[: len(runs)]),
    )
    return np.column_stack([runs[first, 0], runs[first, 1], runs[final, 2]])
