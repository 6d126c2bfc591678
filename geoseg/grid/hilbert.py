"""Order cells along a Hilbert curve, so that rows that are close on the map are close in a file."""

import numpy as np
from numpy.typing import NDArray

MAX_BITS = 31
"""Most bits of a row or column. The index has twice as many, which fits in int64."""


def hilbert_index(rows: NDArray[np.int64], cols: NDArray[np.int64], shape: tuple[int, int]) -> NDArray[np.int64]:
    """Distance of cells from the start of the Hilbert curve over the smallest square of side 2**k that holds them all.

    The function `xy2d` of https://en.wikipedia.org/wiki/Hilbert_curve (after Warren, Hacker's Delight, chapter 16),
    for whole arrays. From the largest quadrant to the smallest: add the cells of the preceding quadrants, then rotate
    the quadrant so that its curve has the orientation of the basic pattern.

    Args:
        rows: Row of each cell, any shape.
        cols: Column of each cell, same shape.
        shape: Rows and columns of the lattice of cells. The index depends on it, so it must not depend on the cells.

    Returns:
        The index, int64, same shape; 0 for cell (0, 0). Different cells have different indices.

    Raises:
        ValueError: If a cell lies outside ``shape``, or ``shape`` exceeds 2**31.
    """
    bits = max(0, max(shape) - 1).bit_length()
    if bits > MAX_BITS:
        raise ValueError(f"A lattice of {shape} cells has more than 2**{MAX_BITS} rows or columns.")
    x, y = cols.astype(np.int64), rows.astype(np.int64)
    if x.size and (min(x.min(), y.min()) < 0 or y.max() >= shape[0] or x.max() >= shape[1]):
        raise ValueError(f"A cell lies outside the lattice of {shape} cells.")
    index = np.zeros_like(x)
    for bit in reversed(range(bits)):
        right, lower = (x >> bit) & 1, (y >> bit) & 1
        index += ((3 * right) ^ lower) << (2 * bit)
        flip = ((lower == 0) & (right == 1)) * ((1 << bit) - 1)
        x, y = (x & ((1 << bit) - 1)) ^ flip, (y & ((1 << bit) - 1)) ^ flip
        x, y = np.where(lower == 0, y, x), np.where(lower == 0, x, y)
    return index
