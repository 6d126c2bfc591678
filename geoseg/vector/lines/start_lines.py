"""Start lines of arcs: through the middles of their pixel edges, from end to end."""

import numpy as np
from numpy.typing import NDArray

from geoseg.vector.labels.compiled import compiled
from geoseg.vector.lines.arcs import Arcs
from geoseg.vector.lines.fewest_segments import KEPT, RING


def find_start_lines(arcs: Arcs, kinds: NDArray[np.int8]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Replace the corners of arcs by the middles of their pixel edges, of each straight run the first and the last one.

    Args:
        arcs: The unsimplified arcs, N in all.
        kinds: Kind of each, see `geoseg.vector.lines.fewest_segments`. Only rings have no end that stays.

    Returns:
        Vertices in half pixels, shape (V, 2), and offsets, shape (N + 1,), as those of arcs.
    """
    xy, offsets = np.empty((2 * len(arcs.xy), 2), np.int32), np.zeros(len(arcs.offsets), np.int64)
    _write(arcs.xy, arcs.offsets, kinds, xy, offsets)
    return xy[: offsets[-1]], offsets


@compiled
def _write(
    xy: NDArray[np.int32], offsets: NDArray[np.int64], kinds: NDArray[np.int8],
    out: NDArray[np.int32], out_offsets: NDArray[np.int64],
) -> None:  # fmt: skip
    size = 0
    for arc in range(len(kinds)):
        first, last = offsets[arc], offsets[arc + 1] - 1
        start = size
        if kinds[arc] != RING:
            out[size] = xy[first]
            size += 1
        for at in range(first, last):
            x, y, nx, ny = xy[at, 0], xy[at, 1], xy[at + 1, 0], xy[at + 1, 1]
            if kinds[arc] == KEPT:
                out[size, 0], out[size, 1] = nx, ny
                size += 1
                continue
            dx, dy = (nx > x) - (nx < x), (ny > y) - (ny < y)
            out[size, 0], out[size, 1] = x + dx, y + dy
            size += 1
            if abs(nx - x) + abs(ny - y) > 2:
                out[size, 0], out[size, 1] = nx - dx, ny - dy
                size += 1
        if kinds[arc] == RING:
            out[size] = out[start]
            size += 1
        elif kinds[arc] != KEPT:
            out[size] = xy[last]
            size += 1
        out_offsets[arc + 1] = size
