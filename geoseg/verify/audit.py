"""Compare polygons with the class map they were made from, strip by strip."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geoseg.grid.legend import NODATA_CLASS, NODATA_CONFIDENCE
from geoseg.grid.window import Grid, Window
from geoseg.publish.geodesy.pixel_area import PixelArea
from geoseg.raster.class_map import STRIP_ROWS, class_map_strips, open_band
from geoseg.verify.coverage import Outline
from geoseg.verify.scan import Scan


@dataclass(frozen=True, slots=True)
class Audit:
    """What one pass over a class map found."""

    histogram: NDArray[np.int64]
    """Number of pixels of each class id, shape (256,)."""
    area_m2: NDArray[np.float64]
    """Area on the ground of the pixels of each class id, shape (256,); 0 for nodata."""
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
    area: PixelArea,
    polygons: Scan,
    outline: Outline | None,
    *,
    any_class: bool,
    not_dissolved: tuple[int, ...] = (),
) -> Audit:
    """Read a class map once and compare it with its polygons.

    Args:
        path: The class map.
        area: Areas of its pixels.
        polygons: The polygons.
        outline: Their outline; None compares no boundaries.
        any_class: The class map is older than a minimum area: a first pixel must be valid, its class may be another.
        not_dissolved: Classes whose polygons may lie beside others of their class.

    Raises:
        SceneError: If the class map cannot be read.
    """
    order = np.argsort(polygons.polygon_id, kind="stable")
    ids, class_id = polygons.polygon_id[order], polygons.class_id[order]
    right, width = np.zeros(len(ids), bool), area.grid.width
    histogram, area_units = np.zeros(256, np.int64), np.zeros(256)
    faults, first_fault = 0, (-1, -1)
    above = np.full(width, NODATA_CLASS, np.uint8)
    for first_row, classes in _closed(path, width):
        histogram += np.bincount(classes.ravel(), minlength=256)
        if area.method != "planar" and first_row < area.grid.height:
            units = area.units(Window(first_row, 0, *classes.shape))
            # As floats, but whole numbers below 2**53, so that the sums are exact.
            area_units += np.bincount(classes.ravel(), units.ravel(), 256)
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
    if area.method == "planar":
        area_units += histogram
    area_m2 = area_units * area.unit_m2
    area_m2[NODATA_CLASS] = 0
    return Audit(histogram, area_m2, faults, first_fault, ids[~right])


def find_doubtful(classes: Path, confidence: Path, grid: Grid) -> tuple[int, tuple[int, int]]:
    """Find pixels that have a class and no confidence, or a confidence and no class.

    Args:
        classes: A class map.
        confidence: Its confidence.
        grid: The frame of both.

    Returns:
        Their number; row and column of the first, (-1, -1) if there is none.

    Raises:
        SceneError: If a raster cannot be read.
    """
    count, first = 0, (-1, -1)
    with open_band(classes) as read_classes, open_band(confidence) as read_confidence:
        for row in range(0, grid.height, STRIP_ROWS):
            strip = Window(row, 0, min(STRIP_ROWS, grid.height - row), grid.width)
            doubtful = (read_classes(strip) == NODATA_CLASS) != (read_confidence(strip) == NODATA_CONFIDENCE)
            found = int(np.count_nonzero(doubtful))
            if found and not count:
                down, across = np.unravel_index(doubtful.argmax(), doubtful.shape)
                first = row + int(down), int(across)
            count += found
    return count, first


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
