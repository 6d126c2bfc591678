"""Polygons of a class map before they are georeferenced."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SPECK_PX = 5
"""Polygons of fewer pixels count as specks."""


@dataclass(frozen=True, slots=True)
class PixelPolygons:
    """The 4-connected components of a class map, one row each, in any order. All arrays have shape (N,)."""

    geometry: NDArray[Any]
    """Shapely polygons. Without a transform in pixel space: x is the column and y the row of a pixel corner or of the
    middle of a pixel edge, both multiples of a half. With a transform in its coordinates."""
    class_id: NDArray[np.uint8]
    """Class of all its pixels; never nodata."""
    first_pixel: NDArray[np.int64]
    """``row * width + col`` of its first pixel in raster order. It is unique."""
    pixels: NDArray[np.int64]
    """Number of pixels, at least 1."""
    confidence_sum: NDArray[np.int64]
    """Sum of the confidence, 0..255 each, over its pixels."""
    area_units: NDArray[np.int64] | None = None
    """Sum of the areas of its pixels, see `geoseg.publish.geodesy.pixel_area`; None where all pixels of the scene
    have the same area."""
    layer_sums: NDArray[np.int64] | None = None
    """Sums over its pixels of further planes of uint8, shape (N, L); None without planes."""

    def __post_init__(self) -> None:
        columns = (self.geometry, self.class_id, self.first_pixel, self.pixels, self.confidence_sum, self.area_units)
        shapes = [column.shape for column in columns if column is not None]
        if shapes != [(len(self),)] * len(shapes) or not (self.layer_sums is None or len(self.layer_sums) == len(self)):
            raise ValueError(f"All columns of polygons must have the shape ({len(self)},), got {shapes}.")

    def __len__(self) -> int:
        return len(self.geometry)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> "PixelPolygons":
        """Return some of the polygons, or all in another order."""
        return PixelPolygons(
            self.geometry[rows],
            self.class_id[rows],
            self.first_pixel[rows],
            self.pixels[rows],
            self.confidence_sum[rows],
            None if self.area_units is None else self.area_units[rows],
            None if self.layer_sums is None else self.layer_sums[rows],
        )
