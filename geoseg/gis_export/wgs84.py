"""Polygons in WGS 84, for the formats that have no other CRS."""

from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from geoseg.publish.geoparquet import GEOMETRY

WGS84 = "OGC:CRS84"
"""Longitude before latitude."""


def to_wgs84(crs: CRS, batch: pa.RecordBatch) -> pa.RecordBatch:
    """Transform the vertices of a batch of polygons.

    Vertices are shared by neighbours, so no gap appears; the cut lattice keeps edges so short that a straight line in
    the other CRS is the same line to a few per cent of a pixel. Polygons across the antimeridian continue beyond 180
    degrees.
    """
    transformer = _transformer(crs.to_wkt())
    geometry = shapely.from_wkb(batch[GEOMETRY].to_numpy(zero_copy_only=False))

    def transform(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack(transformer.transform(points[:, 0], points[:, 1], errcheck=True))

    moved = shapely.transform(geometry, transform)
    bounds = shapely.bounds(moved)
    torn = bounds[:, 2] - bounds[:, 0] > 180
    if torn.any():
        moved[torn] = shapely.transform(moved[torn], _continue_east)
    columns = [
        pa.array(shapely.to_wkb(moved), pa.binary()) if name == GEOMETRY else batch[name] for name in batch.schema.names
    ]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def _continue_east(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.column_stack([np.where(points[:, 0] < 0, points[:, 0] + 360, points[:, 0]), points[:, 1]])


@lru_cache(maxsize=8)
def _transformer(crs_wkt: str) -> Any:
    return Transformer.from_crs(CRS.from_wkt(crs_wkt), WGS84, always_xy=True)
