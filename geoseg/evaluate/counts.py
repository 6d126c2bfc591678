"""Count pixels by label and prediction, window by window. Sums of integers: no metric depends on the windows."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, minimum_filter

from geoseg.grid.legend import NODATA_CLASS


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of pixels. K is the number of compared classes."""

    confusion: NDArray[np.int64]
    """Compared pixels by label (rows) and prediction (columns), shape (K, K)."""
    unpredicted: NDArray[np.int64]
    """Labelled pixels without a predicted class by label, shape (K,). They are in no metric."""
    boundary: NDArray[np.int64]
    """Compared pixels near a boundary, shape (3, K): of the class in both, in the labels, in the prediction."""
    confidence: NDArray[np.int64]
    """Compared pixels by confidence 0..255 and whether the prediction is right (column 1), shape (256, 2)."""

    @classmethod
    def zero(cls, classes: int) -> Self:
        """No pixels."""
        shapes = ((classes, classes), (classes,), (3, classes), (256, 2))
        return cls(*(np.zeros(shape, np.int64) for shape in shapes))

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.confusion + other.confusion,
            self.unpredicted + other.unpredicted,
            self.boundary + other.boundary,
            self.confidence + other.confidence,
        )


def count_pairs(labels: NDArray[np.uint8], predicted: NDArray[Any], classes: int) -> NDArray[np.int64]:
    """Count pixels by label (rows) and prediction (columns), where both arrays hold a class.

    Args:
        labels: Class ids, 255 where unknown.
        predicted: Class ids of the same shape, integers, 255 where unknown.
        classes: Number of classes.

    Returns:
        The confusion matrix, shape (classes, classes).
    """
    known = (labels != NODATA_CLASS) & (predicted != NODATA_CLASS)
    pairs = labels[known].astype(np.int64) * classes + predicted[known]
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


def count_window(
    labels: NDArray[np.uint8],
    predicted: NDArray[np.uint8],
    confidence: NDArray[np.uint8] | None,
    *,
    classes: int,
    boundary_px: int,
    core: tuple[slice, slice],
) -> Counts:
    """Count the pixels of a window.

    A pixel is near a boundary if a pixel of another class lies within ``boundary_px`` rows and columns of it: the set
    that boundary IoU compares (Cheng et al. 2021, Boundary IoU, CVPR), here for all classes at once. Pixels without a
    class make no boundary.

    Args:
        labels: Class ids of the core and up to ``boundary_px`` pixels around it, shape (H, W); 255 where unknown.
        predicted: The same of the prediction.
        confidence: Confidence 0..255 of the prediction, shape (H, W), or None.
        classes: Number of classes K.
        boundary_px: Width of a boundary.
        core: Part of the arrays that is counted.
    """
    near_label, near_predicted = (near_boundary(ids, boundary_px)[core] for ids in (labels, predicted))
    labels, predicted = labels[core], predicted[core]
    compared = (labels != NODATA_CLASS) & (predicted != NODATA_CLASS)
    same = compared & (labels == predicted)
    at_boundary = [
        _count(labels[same & near_label & near_predicted], classes),
        _count(labels[compared & near_label], classes),
        _count(predicted[compared & near_predicted], classes),
    ]
    by_confidence = np.zeros((256, 2), np.int64)
    if confidence is not None:
        for column, pixels in enumerate((compared & ~same, same)):
            by_confidence[:, column] = _count(confidence[core][pixels], 256)
    return Counts(
        count_pairs(labels, predicted, classes),
        _count(labels[(labels != NODATA_CLASS) & ~compared], classes),
        np.stack(at_boundary),
        by_confidence,
    )


def near_boundary(ids: NDArray[np.uint8], boundary_px: int) -> NDArray[np.bool_]:
    """True where a pixel of another class lies within ``boundary_px`` rows and columns; shape (H, W)."""
    side, known = 2 * boundary_px + 1, ids != NODATA_CLASS
    lowest = minimum_filter(ids, side, mode="constant", cval=NODATA_CLASS)
    # One is added, so that 0 means no class.
    highest = maximum_filter(np.where(known, ids + np.uint8(1), np.uint8(0)), side, mode="constant", cval=0)
    near: NDArray[np.bool_] = known & (lowest.astype(np.int16) + 1 != highest)
    return near


def _count(values: NDArray[np.uint8], length: int) -> NDArray[np.int64]:
    return np.bincount(values, minlength=length).astype(np.int64)
