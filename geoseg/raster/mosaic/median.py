"""The median of the valid dates of each pixel."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def median_of_valid(stack: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[Any]:
    """Compute the median of the valid values of each pixel, band by band.

    Of an even number it is the mean of the two in the middle, rounded down where values are integers. The order of the
    dates does not matter.

    Args:
        stack: Values of each date, shape (N, C, H, W), finite where valid; overwritten.
        valid: Validity of each date, shape (N, H, W).

    Returns:
        Shape (C, H, W) in the dtype of ``stack``; 0 where no date is valid.
    """
    highest = np.inf if stack.dtype.kind == "f" else np.iinfo(stack.dtype).max
    np.copyto(stack, highest, where=~valid[:, None], casting="unsafe")
    stack.sort(axis=0)
    count = valid.sum(axis=0)
    places = np.stack([np.maximum(count - 1, 0) // 2, np.minimum(count // 2, len(stack) - 1)])
    low, high = np.take_along_axis(stack, places[:, None], axis=0)
    if stack.dtype.kind == "f":
        with np.errstate(invalid="ignore"):  # where no date is valid
            middle = low + (high - low) / 2
    else:
        middle = low + (high.astype(np.int64) - low) // 2
    return np.where(count > 0, middle, 0).astype(stack.dtype)
