"""Compare polygons with the class map they were made from, strip by strip."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geoseg.grid.legend import NODATA_CLASS
from geoseg.raster.class_map import class_map_strips
from geoseg.verify.coverage import Outline
from geoseg.verify.scan import Scan


@dataclass(frozen=True, slots=True)
class Audit:
    """What one pass over a class map found."""

    histogram: NDArray[np.int64]
    """Number of pixels of each class id, shape (256,)."""
    faults: int
    """Sides of pixels where polygons end, or do not end, other than the class map's valid pixels."""
    first_fault: tuple[int, int]
    """Row and column of the pixel south or east of the first of them; (-1, -1) if there is none."""
    wrong_ids: NDArray[np.int64]
    """``polygon_id`` of polygons whose first pixel is another, sorted."""

    @property
    def valid_pixels(self) -> int:
        """Number of pixels that have a class."""
        return int(self.histogram[:NODATA_CLASS].sum())


def audit(
    path: Path,
    width: int,
    polygons: Scan,
    outline: Outline | None,
    *,
    any_class: bool,
    not_dissolved: tuple[int, ...] = (),
) -> Audit:
    """Read a class map once and compare it with its polygons.

    Args:
        path: The class map.
        width: Its columns.
        polygons: The polygons.
        outline: Their outline; None compares no boundaries.
        any_class: The class map is older than a minimum area: a first pixel must be valid, its class may be another.
        not_dissolved: Classes whose polygons may lie beside others of their class.

    Raises:
        SceneError: If the class map cannot be read.
    """
    order = np.argsort(polygons.polygon_id, kind="stable")
    ids, class_id = polygons.polygon_id[order], polygons.class_id[order]
    right = np.zeros(len(ids), bool)
    histogram = np.zeros(256, np.int64)
    faults, first_fault = 0, (-1, -1)
    above = np.full(width, NODATA_CLASS, np.uint8)
    for first_row, classes in _closed(path, width):
        histogram += np.bincount(classes.ravel(), minlength=256)
        start, stop = np.searchsorted(ids, (first_row * width, (first_row + len(classes)) * width))
        place = ids[start:stop] - first_row * width
        cut = np.isin(class_id[start:stop], not_dissolved)
        right[start:stop] = _are_first(np.vstack([above, classes]), place + width, class_id[start:stop], any_class, cut)
        if outline is not None:
            found = outline.faults(classes != NODATA_CLASS, above != NODATA_CLASS, first_row)
            if len(found) and not faults:
                first_fault = min((int(row), int(col)) for row, col in found)
            faults += len(found)
        above = classes[-1]
    histogram[NODATA_CLASS] -= width
    return Audit(histogram, faults, first_fault, ids[~right])


def _closed(path: Path, width: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Strips of a class map, and a row of nodata behind the last, so that every side has a pixel south of it."""
    row_stop = 0
    for first_row, classes in class_map_strips(path):
        yield first_row, classes
        row_stop = first_row + len(classes)
    yield row_stop, np.full((1, width), NODATA_CLASS, np.uint8)


def _are_first(
    classes: NDArray[np.uint8],
    place: NDArray[np.int64],
    class_id: NDArray[np.uint8],
    any_class: bool,
    cut: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Tell which pixels can be the first of a polygon.

    Args:
        classes: Class ids of whole rows, shape (H, W).
        place: Flat index of each pixel, shape (N,), not in the first row.
        class_id: Class of each polygon, shape (N,).
        any_class: Only ask for a valid pixel.
        cut: Polygons that may lie beside others of their class, shape (N,).
    """
    width = classes.shape[1]
    flat = classes.ravel()
    if any_class:
        return np.asarray(flat[place] != NODATA_CLASS)
    # A pixel of the same class north or west of it would be the polygon's too, and earlier.
    west = (place % width > 0) & (flat[place - 1] == class_id)
    earlier = (west | (flat[place - width] == class_id)) & ~cut
    return np.asarray((flat[place] == class_id) & ~earlier)
