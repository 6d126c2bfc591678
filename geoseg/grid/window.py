"""Rectangles of pixels, and the grid of a scene."""

import math
import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """Half-open rectangle of pixels: rows ``[row, row + height)``, columns ``[col, col + width)``.

    Units are pixels of the scene. The origin may be negative or beyond the scene; the sides are at least one pixel.
    """

    row: int
    """First row."""
    col: int
    """First column."""
    height: int
    """Number of rows, at least 1."""
    width: int
    """Number of columns, at least 1."""

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise ValueError(f"A window needs at least one pixel, got height={self.height}, width={self.width}.")

    @classmethod
    def from_bounds(cls, row: int, col: int, row_stop: int, col_stop: int) -> "Window":
        """Build the window of rows ``[row, row_stop)`` and columns ``[col, col_stop)``."""
        return cls(row, col, row_stop - row, col_stop - col)

    @property
    def row_stop(self) -> int:
        """First row after the window."""
        return self.row + self.height

    @property
    def col_stop(self) -> int:
        """First column after the window."""
        return self.col + self.width

    @property
    def shape(self) -> tuple[int, int]:
        """``(height, width)``, the shape of a numpy array."""
        return self.height, self.width

    @property
    def ranges(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """``((row, row_stop), (col, col_stop))``, the form in which rasterio takes a window."""
        return (self.row, self.row_stop), (self.col, self.col_stop)

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return self.height * self.width

    def intersect(self, other: "Window") -> "Window | None":
        """Return the common pixels of both windows, or None if there are none."""
        row, col = max(self.row, other.row), max(self.col, other.col)
        row_stop, col_stop = min(self.row_stop, other.row_stop), min(self.col_stop, other.col_stop)
        if row_stop <= row or col_stop <= col:
            return None
        return Window.from_bounds(row, col, row_stop, col_stop)

    def around(self, other: "Window") -> "Window":
        """Return the smallest window that contains both."""
        row, col = min(self.row, other.row), min(self.col, other.col)
        return Window.from_bounds(row, col, max(self.row_stop, other.row_stop), max(self.col_stop, other.col_stop))

    def contains(self, other: "Window") -> bool:
        """Return whether every pixel of ``other`` is in this window."""
        return (
            self.row <= other.row
            and self.col <= other.col
            and other.row_stop <= self.row_stop
            and other.col_stop <= self.col_stop
        )

    def slices(self, within: "Window") -> tuple[slice, slice]:
        """Index this window in an array that covers ``within``: ``array[..., *window.slices(within)]``.

        Raises:
            ValueError: If this window reaches outside ``within``, where a slice would silently be shorter.
        """
        if not within.contains(self):
            raise ValueError(f"{self} reaches outside {within}.")
        row, col = self.row - within.row, self.col - within.col
        return slice(row, row + self.height), slice(col, col + self.width)

    def __str__(self) -> str:
        return f"rows {self.row}:{self.row_stop}, columns {self.col}:{self.col_stop}"


@dataclass(frozen=True, slots=True)
class Grid:
    """The pixel grid of a scene and its georeference.

    ``x = a * col + b * row + c`` and ``y = d * col + e * row + f`` for the corner ``(row, col)`` of a pixel.
    """

    height: int
    """Rows of the scene."""
    width: int
    """Columns of the scene."""
    transform: tuple[float, float, float, float, float, float]
    """``(a, b, c, d, e, f)`` as above, in CRS units."""
    crs: str
    """The coordinate reference system as WKT 2; empty if the scene has none and the run allows that."""

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise ValueError(f"A grid needs at least one pixel, got {self.height} x {self.width}.")
        if not all(map(math.isfinite, self.transform)):
            raise ValueError(f"The transform {self.transform} is not finite.")
        if self.pixel_area == 0:
            raise ValueError(f"The transform {self.transform} maps every pixel to an area of zero.")
        if not self._has_distinct_pixels():
            raise ValueError(
                f"The transform {self.transform} places the scene so far from the origin that float64 cannot "
                "distinguish its pixels."
            )

    @property
    def window(self) -> Window:
        """The whole scene."""
        return Window(0, 0, self.height, self.width)

    @property
    def pixel_area(self) -> float:
        """Area of a pixel in squared units of the CRS."""
        a, b, _, d, e, _ = self.transform
        return abs(a * e - b * d)

    def to_crs(self, pixel: NDArray[np.float64]) -> NDArray[np.float64]:
        """Transform pixel coordinates ``(col, row)`` to CRS coordinates ``(x, y)``, both of shape (..., 2)."""
        a, b, c, d, e, f = self.transform
        col, row = pixel[..., 0], pixel[..., 1]
        return np.stack([a * col + b * row + c, d * col + e * row + f], axis=-1)

    def to_pixel(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """The inverse of `to_crs`."""
        a, b, c, d, e, f = self.transform
        x, y = xy[..., 0] - c, xy[..., 1] - f
        return np.stack([e * x - b * y, a * y - d * x], axis=-1) / (a * e - b * d)

    def _has_distinct_pixels(self) -> bool:
        """Return whether float64 coordinates are finer than a hundredth of a pixel everywhere in the scene."""
        a, b, c, d, e, f = self.transform
        x = abs(c) + abs(a) * self.width + abs(b) * self.height
        y = abs(f) + abs(d) * self.width + abs(e) * self.height
        finest = min(step for step in (max(abs(a), abs(d)), max(abs(b), abs(e))) if step)
        return max(x, y) * sys.float_info.epsilon < finest / 100 and math.isfinite(self.pixel_area)
