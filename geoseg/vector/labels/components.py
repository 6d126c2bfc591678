"""The 4-connected components of a class map, each named by its first pixel."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.grid.legend import NODATA_CLASS
from geoseg.grid.window import Window
from geoseg.vector.labels.compiled import compiled
from geoseg.vector.labels.union_find import connect_runs

NO_COMPONENT = -1
"""Label and name of pixels that belong to no component: nodata, and pixels outside the scene."""


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
    """Sum of the areas of its pixels, see `geoseg.publish.geodesy.pixel_area`; None where all pixels of the scene
    have the same area."""
    layer_sums: NDArray[np.int64] | None = None
    """Sums over its pixels of further planes of uint8, shape (N, L); None without planes."""

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
            None if self.layer_sums is None else self.layer_sums[rows],
        )


@dataclass(frozen=True, slots=True)
class Runs:
    """An array of pixels as runs of equal values, R in all. Each row starts a new run."""

    offsets: NDArray[np.int64]
    """Row ``r`` has the runs ``offsets[r]:offsets[r + 1]``, at least one; shape (H + 1,)."""
    starts: NDArray[np.int32]
    """First column of each run, 0 for the first one of a row; shape (R,)."""
    values: NDArray[Any]
    """Value of each run, shape (R,). Adjacent runs may have the same value."""

    def spread(self, values: NDArray[Any], width: int) -> NDArray[Any]:
        """Expand one value for each run, shape (R,), to one for each pixel, shape (H, W)."""
        height = len(self.offsets) - 1
        first = self.first(width)
        return np.repeat(values, np.diff(first, append=height * width)).reshape(height, width)

    def first(self, width: int) -> NDArray[np.int64]:
        """Flat index of the first pixel of each run, in an array of ``width`` columns; shape (R,)."""
        rows = np.arange(len(self.offsets) - 1) * width
        return np.asarray(np.repeat(rows, np.diff(self.offsets)) + self.starts)


def find_components(
    classes: NDArray[np.uint8], confidence: NDArray[np.uint8], core: Window, width: int
) -> tuple[Runs, Components]:
    """Label the components of a block, without its neighbours.

    Union-find over the runs of its rows: the smallest run is the root, so the labels are in raster order of the first
    pixels.

    Args:
        classes: Class ids of the block, shape (H, W); 255 is nodata.
        confidence: Confidence 0..255 of each pixel, shape (H, W).
        core: The block's window in the scene.
        width: Columns of the scene.

    Returns:
        The label of each pixel, int32: its row in the components, -1 for nodata; the components, by first pixel.
    """
    offsets = np.zeros(len(classes) + 1, np.int64)
    _count_runs(classes, offsets)
    starts, value, labels = (np.empty(offsets[-1], dtype) for dtype in (np.int32, np.uint8, np.int32))
    _find_runs(classes, offsets, starts, value)
    count = _number(connect_runs(offsets, starts, value, core.width), value, labels)
    first, class_id = np.empty(count, np.int64), np.empty(count, np.uint8)
    pixels, total = np.zeros(count, np.int64), np.zeros(count, np.int64)
    _sum(confidence, (offsets, starts, value, labels), first, class_id, pixels, total)
    row, col = np.divmod(first, core.width)
    components = Components((core.row + row) * width + core.col + col, class_id, pixels, total)
    return Runs(offsets, starts, labels), components


def sum_planes(labels: Runs, planes: NDArray[np.uint8], count: int) -> NDArray[np.int64]:
    """Sum planes over the pixels of each component.

    Args:
        labels: Row of the component of each pixel, -1 for none.
        planes: Shape (L, H, W).
        count: Number N of components.

    Returns:
        Shape (N, L).
    """
    first, inside = labels.first(planes.shape[2]), labels.values != NO_COMPONENT
    sums = np.zeros((count, len(planes)), np.int64)
    for column, plane in zip(sums.T, planes, strict=True):
        runs = np.add.reduceat(plane.ravel(), first, dtype=np.int64)
        np.add.at(column, labels.values[inside], runs[inside])
    return sums


def concatenate_components(parts: Sequence[Components]) -> Components:
    """Concatenate tables of components."""
    return Components(
        np.concatenate([np.empty(0, np.int64), *(part.first_pixel for part in parts)]),
        np.concatenate([np.empty(0, np.uint8), *(part.class_id for part in parts)]),
        np.concatenate([np.empty(0, np.int64), *(part.pixels for part in parts)]),
        np.concatenate([np.empty(0, np.int64), *(part.confidence_sum for part in parts)]),
        concatenate_sums(part.area_units for part in parts if len(part)),
        concatenate_sums(part.layer_sums for part in parts if len(part)),
    )


def concatenate_sums(parts: Iterable[NDArray[np.int64] | None]) -> NDArray[np.int64] | None:
    """Concatenate sums that components have or have not.

    Raises:
        ValueError: If only some of the parts have sums.
    """
    parts = list(parts)
    known = [part for part in parts if part is not None]
    if known and len(known) < len(parts):
        raise ValueError("Some parts of one scene have sums of areas or layers and others have none.")
    return np.concatenate(known) if known else None


def merge_sums(components: Components, whole: NDArray[np.int64]) -> Components:
    """Add up the parts of each component. The sums are integers, so the order of the parts does not matter.

    Args:
        components: Parts, in any order.
        whole: First pixel of the component that each part belongs to, shape (N,).

    Returns:
        The whole components, by first pixel.
    """
    first_pixel, part, row = np.unique(whole, return_index=True, return_inverse=True)
    pixels, total = np.zeros(len(first_pixel), np.int64), np.zeros(len(first_pixel), np.int64)
    np.add.at(pixels, row, components.pixels)
    np.add.at(total, row, components.confidence_sum)
    more = (_merge(sums, row, len(first_pixel)) for sums in (components.area_units, components.layer_sums))
    return Components(first_pixel, components.class_id[part], pixels, total, *more)


def _merge(sums: NDArray[np.int64] | None, row: NDArray[np.intp], count: int) -> NDArray[np.int64] | None:
    """Add the sums of parts, shape (N,) or (N, L), to the row of each in ``count`` rows."""
    if sums is None:
        return None
    merged = np.zeros((count, *sums.shape[1:]), np.int64)
    np.add.at(merged, row, sums)
    return merged


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
def _number(parent: NDArray[np.int32], value: NDArray[np.uint8], labels: NDArray[np.int32]) -> int:
    """Write the label of each run; return the number of labels."""
    count = 0
    for run in range(len(parent)):
        if value[run] == NODATA_CLASS:
            labels[run] = NO_COMPONENT
        elif parent[run] == run:
            labels[run] = count
            count += 1
        else:
            # A parent is smaller than its child, so it already has its label.
            labels[run] = labels[parent[run]]
    return count


@compiled
def _sum(
    confidence: NDArray[np.uint8],
    runs: tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.uint8], NDArray[np.int32]],
    first: NDArray[np.int64], class_id: NDArray[np.uint8], pixels: NDArray[np.int64], total: NDArray[np.int64],
) -> None:  # fmt: skip
    """Write first pixel, class, number of pixels and sum of the confidence of each component."""
    offsets, starts, value, labels = runs
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
