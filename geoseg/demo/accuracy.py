"""Accuracy of a class map: confusion matrix and intersection over union."""

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from geoseg.grid.legend import NODATA_CLASS


def count_pairs(truth: NDArray[np.uint8], predicted: NDArray[Any], count: int) -> NDArray[np.int64]:
    """Count pixels by true class (rows) and predicted class (columns), where both arrays hold one.

    Args:
        truth: Class ids, 255 where unknown.
        predicted: Class ids of the same shape, integers, 255 where unknown.
        count: Number of classes.

    Returns:
        The confusion matrix, shape (count, count).
    """
    known = (truth != NODATA_CLASS) & (predicted != NODATA_CLASS)
    pairs = truth[known].astype(np.int64) * count + predicted[known]
    return np.bincount(pairs, minlength=count * count).reshape(count, count).astype(np.int64)


def confusion_matrix(truth: Path, classes: Path, count: int) -> NDArray[np.int64]:
    """Compare two class maps of the same size, window by window; as `count_pairs`."""
    confusion = np.zeros((count, count), np.int64)
    with rasterio.open(truth) as a, rasterio.open(classes, OVERVIEW_LEVEL="NONE") as b:
        for _, window in a.block_windows(1):
            confusion += count_pairs(a.read(1, window=window), b.read(1, window=window), count)
    return confusion


def intersection_over_union(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """IoU of every class, shape (classes,); NaN for a class that neither map holds."""
    intersection = np.diag(confusion).astype(np.float64)
    union = confusion.sum(0) + confusion.sum(1) - intersection
    return np.where(union > 0, intersection / np.maximum(union, 1), np.nan)


def overall_accuracy(confusion: NDArray[np.int64]) -> float:
    """Share of pixels whose predicted class is the true one."""
    return float(np.trace(confusion) / confusion.sum())
