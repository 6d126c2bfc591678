"""The 4-connected components of a class map, each named by its first pixel."""

from dataclasses import dataclass

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

    def __len__(self) -> int:
        return len(self.first_pixel)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> "Components":
        """Return some of the rows."""
        return Components(self.first_pixel[rows], self.class_id[rows], self.pixels[rows], self.confidence_sum[rows])


def find_components(
    classes: NDArray[np.uint8], confidence: NDArray[np.uint8], core: Window, width: int
) -> tuple[NDArray[np.int32], Components]:
    """Label the components of a block, with no regard to what lies around it.

    Two passes with a union-find between them (Rosenfeld and Pfaltz, 1966): the smaller label becomes the root, so the
    labels come out in raster order of the first pixels.

    Args:
        classes: Class ids of the block, shape (H, W); 255 is nodata.
        confidence: Confidence 0..255 of each pixel, shape (H, W).
        core: The block's window in the scene.
        width: Columns of the scene.

    Returns:
        The row in the components of each pixel, shape (H, W), -1 where nodata is; the components, by first pixel.
    """
    labels = np.empty(classes.shape, np.int32)
    parent = np.empty(classes.size, np.int32)
    count = _label(classes, labels, parent)
    first, class_id = np.empty(count, np.int64), np.empty(count, np.uint8)
    pixels, total = np.zeros(count, np.int64), np.zeros(count, np.int64)
    _sum(classes, confidence, labels, parent, first, class_id, pixels, total)
    row, col = np.divmod(first, core.width)
    return labels, Components((core.row + row) * width + core.col + col, class_id, pixels, total)


@compiled
def _root(parent: NDArray[np.int32], label: int) -> int:
    while parent[label] != label:
        parent[label] = parent[parent[label]]
        label = parent[label]
    return label


@compiled
def _label(classes: NDArray[np.uint8], labels: NDArray[np.int32], parent: NDArray[np.int32]) -> int:
    """Give provisional labels, and let ``parent`` map each to its final one; return the number of those."""
    count = 0
    for r in range(classes.shape[0]):
        for c in range(classes.shape[1]):
            value = classes[r, c]
            if value == NODATA_CLASS:
                labels[r, c] = NO_COMPONENT
                continue
            north = r > 0 and classes[r - 1, c] == value
            if c > 0 and classes[r, c - 1] == value:
                label = labels[r, c - 1]
                # Where the north-west pixel is of this class too, it has joined its neighbours already.
                if north and classes[r - 1, c - 1] != value:
                    one, other = _root(parent, label), _root(parent, labels[r - 1, c])
                    label = np.int32(min(one, other))
                    parent[max(one, other)] = label
            elif north:
                label = labels[r - 1, c]
            else:
                label = np.int32(count)
                parent[count] = label
                count += 1
            labels[r, c] = label
    final = 0
    for label in range(count):
        # A parent is smaller than its child, so it has its final label already.
        if parent[label] == label:
            parent[label] = final
            final += 1
        else:
            parent[label] = parent[parent[label]]
    return final


@compiled
def _sum(
    classes: NDArray[np.uint8], confidence: NDArray[np.uint8], labels: NDArray[np.int32], parent: NDArray[np.int32],
    first: NDArray[np.int64], class_id: NDArray[np.uint8], pixels: NDArray[np.int64], total: NDArray[np.int64],
) -> None:  # fmt: skip
    """Replace provisional labels by final ones, in place, and sum over the pixels of each."""
    height, width = labels.shape
    for r in range(height):
        for c in range(width):
            if labels[r, c] == NO_COMPONENT:
                continue
            label = parent[labels[r, c]]
            labels[r, c] = label
            if pixels[label] == 0:
                first[label] = r * width + c
                class_id[label] = classes[r, c]
            pixels[label] += 1
            total[label] += confidence[r, c]
