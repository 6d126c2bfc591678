"""Compare polygons with the class map they were made from, strip by strip."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geoseg.grid.legend import NODATA_CLASS
from geoseg.grid.window import Window
from geoseg.publish.geodesy.pixel_area import PixelArea
from geoseg.raster.maps.class_map import class_map_strips
from geoseg.verify.coverage import Outline
from geoseg.verify.summary import Summary


@dataclass(frozen=True, slots=True)
class Audit:
    """Results of one pass over a class map."""

    histogram: NDArray[np.int64]
    """Number of pixels of each class id, shape (256,)."""
    area_m2: NDArray[np.float64]
    """Area on the ground of the pixels of each class id, shape (256,); 0 for nodata."""
    faults: int
    """Number of pixel sides where the outline of the polygons differs from that of the valid pixels."""
    first_fault: tuple[int, int]
    """Row and column of the pixel south or east of the first of them; (-1, -1) if there is none."""
    wrong_ids: NDArray[np.int64]
    """``polygon_id`` of polygons that do not start at that pixel, sorted."""

    @property
    def valid_pixels(self) -> int:
        """Number of pixels that have a class."""
        return int(self.histogram[:NODATA_CLASS].sum())


def audit(
    path: Path,
    area: PixelArea,
    polygons: Summary,
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
        outline: Their outline; None skips the comparison of outlines.
        any_class: A first pixel must be valid, but may have another class: a minimum area changes polygons, not the
            class map.
        not_dissolved: Classes whose polygons may touch others of their class.

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
            # Floats, but whole numbers below 2**53, so the sums are exact.
            area_units += np.bincount(classes.ravel(), units.ravel(), 256)
        start, stop = np.searchsorted(ids, (first_row * width, (first_row + len(classes)) * width))
        place = ids[start:stop] - first_row * width
        cut = np.isin(class_id[start:stop], not_dissolved)
        right[start:stop] = _are_first(np.vstack([above, classes]), place + width, class_id[start:stop], any_class, cut)
        if outline is not None:
            sides = outline.faults(classes != NODATA_CLASS, above != NODATA_CLASS, first_row)
            if len(sides) and not faults:
                first_fault = min((int(row), int(col)) for row, col in sides)
            faults += len(sides)
        above = classes[-1]
    histogram[NODATA_CLASS] -= width
    if area.method == "planar":
        area_units += histogram
    area_m2 = area_units * area.unit_m2
    area_m2[NODATA_CLASS] = 0
    return Audit(histogram, area_m2, faults, first_fault, ids[~right])


def _closed(path: Path, width: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Strips of a class map, then a row of nodata, so that every horizontal side has a pixel south of it."""
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
    """Find which pixels can be the first pixel of their polygon.

    Args:
        classes: Class ids of whole rows, shape (H, W).
        place: Flat index of each pixel, shape (N,), not in the first row.
        class_id: Class of each polygon, shape (N,).
        any_class: Any valid pixel passes.
        cut: Polygons that may touch others of their class, shape (N,).

    Returns:
        Shape (N,); True if the pixel can be the first.
    """
    width = classes.shape[1]
    flat = classes.ravel()
    if any_class:
        return np.asarray(flat[place] != NODATA_CLASS)
    # A pixel of the same class to the north or west would belong to the polygon, and come earlier.
    west = (place % width > 0) & (flat[place - 1] == class_id)
    earlier = (west | (flat[place - width] == class_id)) & ~cut
    return np.asarray((flat[place] == class_id) & ~earlier)
