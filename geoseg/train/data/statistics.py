"""Mean and standard deviation of the bands over valid pixels of training windows."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import SettingsError
from geoseg.train.data.windows import Batch

DIGITS = 6


def band_statistics(batches: Iterable[Batch]) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each band, rounded to six digits.

    Sums of squares about the mean of each batch, merged as in Chan et al. 1983, Algorithms for computing the sample
    variance.

    Args:
        batches: Training windows.

    Returns:
        The means and the standard deviations, one number a band; a constant band has 1.

    Raises:
        SettingsError: If no pixel is valid.
    """
    count, mean, squares = 0, np.zeros(0), np.zeros(0)
    for batch in batches:
        values = np.moveaxis(batch.pixels, 1, 0)[:, batch.valid].astype(np.float64)
        if not count:
            mean, squares = np.zeros(len(values)), np.zeros(len(values))
        number = values.shape[1]
        if number:
            own = values.mean(axis=1)
            difference, total = own - mean, count + number
            squares += ((values - own[:, None]) ** 2).sum(axis=1) + difference**2 * count * number / total
            mean += difference * number / total
            count = total
    if not count:
        raise SettingsError("No training window has a valid pixel. Check scene.nodata and the masks of the scenes.")
    deviation = np.sqrt(squares / count)
    return _rounded(mean), _rounded(np.where(deviation > 0, deviation, 1.0))


def _rounded(values: NDArray[np.float64]) -> list[float]:
    return [float(f"{value:.{DIGITS}g}") for value in values]
