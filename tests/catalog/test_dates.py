"""Which sources of a mosaic belong to one date."""

from datetime import UTC, datetime

import numpy as np
import pytest
from pyproj import CRS

from geoseg.catalog.dates import number_dates
from geoseg.errors import SceneError
from geoseg.grid.window import Grid

FIJI = Grid(100, 100, (0.01, 0.0, 177.0, 0.0, -0.01, -17.0), CRS.from_epsg(4326).to_wkt())
NOWHERE = Grid(10, 10, (1.0, 0.0, 0.0, 0.0, -1.0, 0.0), "")


def at(day: int, hour: int) -> datetime:
    return datetime(2024, 6, day, hour, tzinfo=UTC)


def test_items_of_one_day_of_local_time_are_one_date() -> None:
    times = [at(2, 11), at(1, 22), at(1, 23), at(2, 0), None, at(1, 10)]
    # In Fiji the day of June 2 begins at 12:09 UTC of June 1.
    assert number_dates(times, FIJI, "m").tolist() == [1, 1, 1, 1, 2, 0]
    assert number_dates(times, NOWHERE, "m").tolist() == [1, 0, 0, 1, 2, 0]
    assert number_dates([None, None], NOWHERE, "m").tolist() == [0, 1]


def test_more_dates_than_fit_into_the_sums_are_refused() -> None:
    numbers = number_dates([None] * 2047, NOWHERE, "m")
    np.testing.assert_array_equal(numbers, np.arange(2047))
    with pytest.raises(SceneError, match=r"m has items of 2,048 dates, and pick: fuse can add .* at most 2,047\."):
        number_dates([None] * 2048, NOWHERE, "m")
