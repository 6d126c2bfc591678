"""Mapping of any integers to class ids: the values of a raster and the id 0..254 of each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from geoseg.grid.legend import NODATA_CLASS

Integers = NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class Values:
    """Values of a raster in the order of their class ids, which does not depend on where they occur."""

    values: Integers
    """Value of each class id, ascending, shape (N,), in the raster's type; at most 255."""

    @classmethod
    def choose(
        cls,
        pixels: Iterable[Integers],
        dtype: np.dtype[Any],
        *,
        nodata: float | None = None,
        wanted: Sequence[int] | None = None,
    ) -> "Values":
        """Choose the values that become polygons.

        Args:
            pixels: Valid pixels of the raster in portions of any shape; read only if necessary.
            dtype: Their type, in the machine's byte order.
            nodata: Value that gets no class id; a value outside the type is ignored.
            wanted: Values that get a class id; all by default.

        Raises:
            ValueError: If there are more than 255 values, or a wanted value is outside the type.
        """
        if wanted is not None:
            limits = np.iinfo(dtype)
            beyond = sorted(value for value in set(wanted) if not limits.min <= value <= limits.max)
            if beyond:
                raise ValueError(
                    f"values={beyond} cannot occur in {dtype}, which ends at {limits.min} and {limits.max}."
                )
            values = np.array(sorted(set(wanted)), dtype)
        elif dtype == np.uint8 and nodata in range(256):
            values = np.arange(256, dtype=dtype)
        else:
            values = _find(pixels, dtype, nodata)
        if nodata is not None:
            values = values[values != nodata]
        if len(values) > NODATA_CLASS:
            raise ValueError(
                f"The raster holds at least {len(values)} different values; polygons can be made of {NODATA_CLASS}. "
                "Name those you want with values, or reclassify it first."
            )
        return cls(values)

    def encode(self, pixels: Integers) -> NDArray[np.uint8]:
        """Class id of each pixel, 255 for values without one; may return ``pixels`` itself."""
        values, ids = self.values, np.arange(len(self.values), dtype=np.uint8)
        if values.dtype == np.uint8 and len(values) == NODATA_CLASS and values[-1] < NODATA_CLASS:
            return pixels  # type: ignore[return-value]
        if not len(values):
            return np.full(pixels.shape, NODATA_CLASS, np.uint8)
        if values.itemsize <= 2:
            bits = np.dtype(f"u{values.itemsize}")
            table = np.full(1 << 8 * values.itemsize, NODATA_CLASS, np.uint8)
            table[values.view(bits)] = ids
            return np.asarray(table[pixels.view(bits)])
        found = pc.index_in(pa.array(pixels.ravel()), value_set=pa.array(values))
        return np.asarray(found.fill_null(NODATA_CLASS).cast(pa.uint8())).reshape(pixels.shape)


def _find(pixels: Iterable[Integers], dtype: np.dtype[Any], nodata: float | None) -> Integers:
    """Distinct values, ascending; stops as soon as there are too many."""
    values: Integers = np.empty(0, dtype)
    for part in pixels:
        # pyarrow hashes, where numpy would sort.
        values = np.union1d(values, pc.unique(pa.array(part.ravel())).to_numpy())
        if len(values) > NODATA_CLASS + (nodata in values):
            break
    return values
