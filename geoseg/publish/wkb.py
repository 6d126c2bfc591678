"""Encode polygons as well-known binary in one array, without a Python object for each.

`shapely.to_wkb` needs three copies of a polygon: gigabytes if one polygon has millions of holes.
"""

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from geoseg.vector.labels.compiled import compiled

ARRAY_BYTES = 1 << 30
"""Approximate size of one Arrow array; its limit is 2 GiB."""

_HEAD, _RING, _VERTEX = 9, 4, 16
"""Bytes of a polygon, and of each of its rings and vertices: byte order, type and count; count; x and y."""


def to_wkb(geometry: NDArray[Any]) -> pa.ChunkedArray:
    """Encode polygons.

    Args:
        geometry: Shapely polygons without z, shape (N,).

    Returns:
        Binary values, equal to ``shapely.to_wkb(geometry, byte_order=1)``.
    """
    vertices = shapely.get_num_coordinates(geometry)
    rings = np.where(vertices > 0, shapely.get_num_interior_rings(geometry) + 1, 0)
    sizes = _HEAD + _RING * rings + _VERTEX * vertices.astype(np.int64)
    cuts = np.flatnonzero(np.diff(np.cumsum(sizes) // ARRAY_BYTES)) + 1
    bounds = [0, *cuts.tolist(), len(geometry)]
    chunks = (
        _encode(geometry[first:stop], vertices[first:stop], rings[first:stop], sizes[first:stop])
        for first, stop in pairwise(bounds)
    )
    return pa.chunked_array(chunks, pa.binary())


def _encode(
    geometry: NDArray[Any], vertices: NDArray[np.int32], rings: NDArray[np.int32], sizes: NDArray[np.int64]
) -> pa.Array:
    xy = shapely.get_coordinates(geometry)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    out = np.empty(offsets[-1], np.uint8)
    if not _write(xy, xy.view(np.uint8).ravel(), vertices, rings, offsets, out):
        # A ring passes through its first vertex, so its end cannot be found from its vertices.
        return pa.array(shapely.to_wkb(geometry, byte_order=1), pa.binary())
    buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(out)]
    return pa.Array.from_buffers(pa.binary(), len(geometry), buffers)


@compiled
def _write(
    xy: NDArray[np.float64], raw: NDArray[np.uint8], vertices: NDArray[np.int32], rings: NDArray[np.int32],
    offsets: NDArray[np.int64], out: NDArray[np.uint8],
) -> bool:  # fmt: skip
    """Write polygon ``i`` to ``out[offsets[i]:offsets[i + 1]]``; a ring ends where its first vertex is repeated."""
    stop = 0
    for polygon in range(len(vertices)):
        at, start, stop = offsets[polygon], stop, stop + vertices[polygon]
        out[at], out[at + 1] = 1, 3
        out[at + 2 : at + 5] = 0
        _write_count(out, at + 5, rings[polygon])
        at += _HEAD
        ring_count = 0
        while start < stop:
            # The smallest ring is a triangle: its fourth vertex is its first.
            end = start + 3
            while end < stop and (xy[end, 0] != xy[start, 0] or xy[end, 1] != xy[start, 1]):
                end += 1
            if end >= stop:
                return False
            _write_count(out, at, end + 1 - start)
            at += _RING
            length = _VERTEX * (end + 1 - start)
            out[at : at + length] = raw[_VERTEX * start : _VERTEX * (end + 1)]
            at += length
            start = end + 1
            ring_count += 1
        if ring_count != rings[polygon]:
            return False
    return True


@compiled
def _write_count(out: NDArray[np.uint8], at: int, count: int) -> None:
    for byte in range(4):
        out[at + byte] = (count >> 8 * byte) & 255
