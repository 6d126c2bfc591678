"""The 4-connected components of a class map, each named by its first pixel."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.grid.legend import NODATA_CLASS
from geoseg.grid.window import Window
from geoseg.vector.compiled import compiled

NO_COMPONENT = -1
"""Label and name of what belongs to no polygon: nodata, and all that lies outside the scene."""


@dataclass(frozen=True, slots=True)
class Components:
    """Sums over the pixels of components, one row each. All arrays have shape (N,)."""

    first_pixel: NDArray[np.int64]
    """Name of the component: ``row * width + col``, in the scene, of its first pixel in raster order."""
    class_id: NDArray[np.uint8]
    """Class of all its pixels."""
    pixels: NDArray[np.int64]
    """Number of pixels, at least 1."""
    confidence_sum: NDArray[np.int64]
    """Sum of the confidence, 0..255 each, over its pixels."""
    area_units: NDArray[np.int64] | None = None
    """Sum of the areas of its pixels, see `geoseg.publish.geodesy.pixel_area`; None where all pixels of the scene are
    alike."""

    def __len__(self) -> int:
        return len(self.first_pixel)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> "Components":
        """Return some of the rows."""
        return Components(
            self.first_pixel[rows],
            self.class_id[rows],
            self.pixels[rows],
            self.confidence_sum[rows],
            None if self.area_units is None else self.area_units[rows],
        )


@dataclass(frozen=True, slots=True)
class Runs:
    """An array of pixels as the runs of equal values in its rows, R in all. A run never goes on in the next row."""

    offsets: NDArray[np.int64]
    """Row ``r`` has the runs ``offsets[r]:offsets[r + 1]``, at least one; shape (H + 1,)."""
    starts: NDArray[np.int32]
    """First column of each run, 0 for the first one of a row; shape (R,)."""
    values: NDArray[Any]
    """What each run holds, shape (R,). Neighbours may hold the same."""

    def spread(self, values: NDArray[Any], width: int) -> NDArray[Any]:
        """Give each pixel the value of its run: ``values`` has shape (R,), the result (H, W)."""
        height = len(self.offsets) - 1
        first = np.repeat(np.arange(height) * width, np.diff(self.offsets)) + self.starts
        return np.repeat(values, np.diff(first, append=height * width)).reshape(height, width)


def find_components(
    classes: NDArray[np.uint8], confidence: NDArray[np.uint8], core: Window, width: int
) -> tuple[Runs, Components]:
    """Label the components of a block, with no regard to what lies around it.

    Union-find over the runs of its rows (Rosenfeld and Pfaltz, 1966): the smaller run becomes the root, so the labels
    come out in raster order of the first pixels.

    Args:
        classes: Class ids of the block, shape (H, W); 255 is nodata.
        confidence: Confidence 0..255 of each pixel, shape (H, W).
        core: The block's window in the scene.
        width: Columns of the scene.

    Returns:
        The row in the components of each pixel, int32, -1 where nodata is; the components, by first pixel.
    """
    offsets = np.zeros(len(classes) + 1, np.int64)
    _count_runs(classes, offsets)
    starts, value, labels = (np.empty(offsets[-1], dtype) for dtype in (np.int32, np.uint8, np.int32))
    _find_runs(classes, offsets, starts, value)
    count = _label(offsets, starts, value, core.width, labels)
    first, class_id = np.empty(count, np.int64), np.empty(count, np.uint8)
    pixels, total = np.zeros(count, np.int64), np.zeros(count, np.int64)
    _sum(confidence, offsets, starts, value, labels, first, class_id, pixels, total)
    row, col = np.divmod(first, core.width)
    components = Components((core.row + row) * width + core.col + col, class_id, pixels, total)
    return Runs(offsets, starts, labels), components


@compiled
def _count_runs(classes: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
    """Write where the runs of each row begin and end."""
    for r in range(classes.shape[0]):
        line = classes[r]
        count = 1
        for c in range(1, len(line)):
            count += line[c] != line[c - 1]
        offsets[r + 1] = offsets[r] + count


@compiled
def _find_runs(
    classes: NDArray[np.uint8], offsets: NDArray[np.int64], starts: NDArray[np.int32], value: NDArray[np.uint8]
) -> None:
    """Write first column and class of each run."""
    for r in range(classes.shape[0]):
        line = classes[r]
        run = offsets[r]
        starts[run], value[run] = 0, line[0]
        for c in range(1, len(line)):
            if line[c] != line[c - 1]:
                run += 1
                starts[run], value[run] = c, line[c]


@compiled
def _root(parent: NDArray[np.int32], run: int) -> int:
    while parent[run] != run:
        parent[run] = parent[parent[run]]
        run = parent[run]
    return run


@compiled
def _label(
    offsets: NDArray[np.int64], starts: NDArray[np.int32], value: NDArray[np.uint8], width: int,
    labels: NDArray[np.int32],
) -> int:  # fmt: skip
    """Write the label of each run; return their number."""
    parent = np.arange(len(starts)).astype(np.int32)
    for r in range(1, len(offsets) - 1):
        above, below = offsets[r - 1], offsets[r]
        while above < offsets[r] and below < offsets[r + 1]:
            if value[above] == value[below]:
                one, other = _root(parent, above), _root(parent, below)
                parent[max(one, other)] = min(one, other)
            above_stop = starts[above + 1] if above + 1 < offsets[r] else width
            below_stop = starts[below + 1] if below + 1 < offsets[r + 1] else width
            above += above_stop <= below_stop
            below += below_stop <= above_stop
    count = 0
    for run in range(len(starts)):
        if value[run] == NODATA_CLASS:
            labels[run] = NO_COMPONENT
        elif parent[run] == run:
            labels[run] = count
            count += 1
        else:
            # A parent is smaller than its child, so it has its label already.
            labels[run] = labels[parent[run]]
    return count


@compiled
def _sum(
    confidence: NDArray[np.uint8], offsets: NDArray[np.int64], starts: NDArray[np.int32], value: NDArray[np.uint8],
    labels: NDArray[np.int32], first: NDArray[np.int64], class_id: NDArray[np.uint8], pixels: NDArray[np.int64],
    total: NDArray[np.int64],
) -> None:  # fmt: skip
    """Sum over the pixels of each component."""
    height, width = confidence.shape
    for r in range(height):
        line = confidence[r]
        for run in range(offsets[r], offsets[r + 1]):
            label = labels[run]
            if label == NO_COMPONENT:
                continue
            start = starts[run]
            stop = starts[run + 1] if run + 1 < offsets[r + 1] else width
            if pixels[label] == 0:
                first[label] = r * width + start
                class_id[label] = value[run]
            pixels[label] += stop - start
            here = 0
            for c in range(start, stop):
                here += line[c]
            total[label] += here
