"""The polygons within geometries of any type."""

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

_POLYGON = 3


def polygon_parts(geometry: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """The polygons within geometries, repaired, and the index of the geometry that each is from."""
    parts, index = shapely.get_parts(shapely.make_valid(geometry), return_index=True)
    deeper, of_part = shapely.get_parts(parts, return_index=True)  # a collection may hold multipolygons
    kept = (shapely.get_type_id(deeper) == _POLYGON) & ~shapely.is_empty(deeper)
    return deeper[kept], index[of_part][kept]
