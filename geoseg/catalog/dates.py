"""Which sources of a mosaic belong to one date, where every date goes through the model."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from rasterio.warp import transform

from geoseg.errors import SceneError
from geoseg.grid.fusion import MAX_DATES
from geoseg.grid.window import Grid
from geoseg.raster.mosaic.placement import crs_of
from geoseg.raster.source.env import gdal_env


def number_dates(times: Sequence[datetime | None], grid: Grid, name: str) -> NDArray[np.int64]:
    """Number the dates of sources: those taken on one day belong to one date, one without a time is a date of its own.

    A day is one of local solar time at the middle of the mosaic, so that no overpass is cut at midnight UTC.

    Args:
        times: Of each source, with a time zone.
        grid: Of the mosaic.
        name: Of the mosaic, for messages.

    Returns:
        A number from 0 for each source, ascending with the day.

    Raises:
        SceneError: If there are more than `MAX_DATES`.
    """
    later = timedelta(hours=_longitude(grid) / 15)
    keys = [
        (index, "") if time is None else (-1, (time + later).date().isoformat()) for index, time in enumerate(times)
    ]
    numbers = {key: number for number, key in enumerate(sorted(set(keys)))}
    if len(numbers) > MAX_DATES:
        raise SceneError(
            f"{name} has items of {len(numbers):,} dates, and pick: fuse can add the scores of at most {MAX_DATES:,}. "
            "Search a shorter time, or use pick: median."
        )
    return np.array([numbers[key] for key in keys], np.int64)


def _longitude(grid: Grid) -> float:
    """Of the middle of a grid, in degrees; 0 if it has no CRS."""
    if not grid.crs:
        return 0.0
    x, y = grid.to_crs(np.array([grid.width / 2, grid.height / 2])).tolist()
    with gdal_env():
        (longitude,), _ = transform(crs_of(grid.crs), "EPSG:4326", [x], [y])[:2]
    return float(longitude) if np.isfinite(longitude) else 0.0
