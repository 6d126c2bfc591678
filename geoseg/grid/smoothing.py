"""The most frequent class around each pixel: a majority filter whose result does not depend on blocks."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoseg.grid.legend import NODATA_CLASS
from geoseg.grid.neighbours import Place

STRIP_ROWS = 256
"""Rows that are smoothed at a time, which bounds memory."""


@dataclass(frozen=True, slots=True)
class Edges:
    """The outermost rows and columns of a block, uint8: what smoothing needs of it for its neighbours."""

    top: NDArray[np.uint8]
    """At most ``radius`` rows, over the whole width; the same for the others."""
    bottom: NDArray[np.uint8]
    left: NDArray[np.uint8]
    right: NDArray[np.uint8]


def take_edges(classes: NDArray[np.uint8], radius_px: int) -> Edges:
    """The edges of a block's class ids of shape (H, W)."""
    edges = (classes[:radius_px], classes[-radius_px:], classes[:, :radius_px], classes[:, -radius_px:])
    return Edges(*map(np.ascontiguousarray, edges))


def add_edges(classes: NDArray[np.uint8], around: Mapping[Place, Edges], radius_px: int) -> NDArray[np.uint8]:
    """Put the edges of the neighbours around a block.

    Args:
        classes: Class ids of the block, shape (H, W).
        around: Edges of its neighbours by the step to each; every neighbour but those at the end of the scene is at
            least ``radius_px`` high and wide.
        radius_px: Pixels on each side.

    Returns:
        Shape (H + 2 * radius_px, W + 2 * radius_px); 255 beyond the scene.
    """
    height, width = classes.shape
    padded = np.pad(classes, radius_px, constant_values=NODATA_CLASS)
    for (down, right), edges in around.items():
        if down:
            part = edges.bottom if down < 0 else edges.top
            part = part if not right else part[:, -radius_px:] if right < 0 else part[:, :radius_px]
        else:
            part = edges.right if right < 0 else edges.left
        row = radius_px - len(part) if down < 0 else radius_px + (height if down else 0)
        col = radius_px - part.shape[1] if right < 0 else radius_px + (width if right else 0)
        padded[row : row + len(part), col : col + part.shape[1]] = part
    return padded


def smooth(padded: NDArray[np.uint8], radius_px: int) -> NDArray[np.uint8]:
    """Give each pixel the class that is most frequent in the square of ``2 * radius_px + 1`` pixels around it.

    Pixels without a class stay so, and do not count. Of equally frequent classes, a pixel keeps its own, else takes
    the lowest.

    Args:
        padded: Class ids with ``radius_px`` more pixels on each side, shape (H + 2 * radius_px, W + 2 * radius_px).
        radius_px: Pixels on each side of a pixel.

    Returns:
        Class ids, shape (H, W).
    """
    height = padded.shape[0] - 2 * radius_px
    strips = range(0, height, STRIP_ROWS)
    smoothed = [_smooth(padded[row : min(height, row + STRIP_ROWS) + 2 * radius_px], radius_px) for row in strips]
    return np.concatenate(smoothed)


def _smooth(padded: NDArray[np.uint8], radius_px: int) -> NDArray[np.uint8]:
    own = padded[radius_px:-radius_px, radius_px:-radius_px]
    best, most, votes_of_own = own.copy(), np.zeros(own.shape, np.int32), np.zeros(own.shape, np.int32)
    for value in np.unique(padded):
        if value == NODATA_CLASS:
            continue
        votes = _count(padded == value, 2 * radius_px + 1)
        more = votes > most
        best[more], most[more] = value, votes[more]
        np.copyto(votes_of_own, votes, where=own == value)
    keep = (votes_of_own == most) | (own == NODATA_CLASS)
    return np.where(keep, own, best)


def _count(values: NDArray[np.bool_], side: int) -> NDArray[np.int32]:
    """Number of True in each square of ``side`` pixels, by differences of running sums."""
    down = np.cumsum(np.pad(values, ((1, 0), (0, 0))), 0, dtype=np.int32)
    across = np.cumsum(np.pad(down[side:] - down[:-side], ((0, 0), (1, 0))), 1, dtype=np.int32)
    return across[:, side:] - across[:, :-side]
