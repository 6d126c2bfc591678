"""Metrics from counts of pixels. scikit-learn does the arithmetic, with the counts as weights."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, cohen_kappa_score, jaccard_score, precision_recall_fscore_support

from geoseg.evaluate.counts import Counts

CALIBRATION_BINS = 15
"""Bins of equal width of the confidence, as in Guo et al. 2017, On Calibration of Modern Neural Networks."""


@dataclass(frozen=True, slots=True)
class ClassMetrics:
    """Metrics of one class, each 0..1; NaN where they are not defined."""

    name: str
    label_pixels: int
    predicted_pixels: int
    iou: float
    f1: float
    precision: float
    recall: float
    boundary_iou: float


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Pixels of which the confidence lies in one interval."""

    pixels: int
    confidence: float
    """Mean confidence."""
    accuracy: float
    """Share of right pixels."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """Agreement of a prediction with labels. All but kappa are 0..1; NaN where they are not defined."""

    compared_pixels: int
    """Pixels with a label and a predicted class. All metrics are about these."""
    unpredicted_pixels: int
    """Pixels with a label and no predicted class."""
    classes: tuple[ClassMetrics, ...]
    mean_iou: float
    """Mean of the classes that occur in the labels or in the prediction."""
    mean_boundary_iou: float
    frequency_weighted_iou: float
    """IoU of the classes, weighted by their pixels in the labels."""
    pixel_accuracy: float
    kappa: float
    """Cohen's kappa, at most 1."""
    expected_calibration_error: float
    """Mean difference of confidence and accuracy over the bins, weighted by pixels; NaN without a confidence."""
    calibration: tuple[CalibrationBin, ...]
    """Bins with pixels, by ascending confidence."""


def compute_metrics(counts: Counts, names: tuple[str, ...]) -> Metrics:
    """Compute all metrics.

    Args:
        counts: Counts of K classes.
        names: Their names.

    Raises:
        ValueError: If no pixel was compared.
    """
    confusion = counts.confusion
    total = int(confusion.sum())
    if not total:
        raise ValueError("no pixel has both a label and a predicted class")
    ids = np.arange(len(names))
    labels, predicted = (grid.ravel() for grid in np.indices(confusion.shape))
    weight = confusion.ravel()
    rates = {"labels": ids, "average": None, "sample_weight": weight, "zero_division": np.nan}
    precision, recall, f1, in_labels = precision_recall_fscore_support(labels, predicted, **rates)
    in_prediction = confusion.sum(0)
    iou = jaccard_score(labels, predicted, labels=ids, average=None, sample_weight=weight, zero_division=0)
    occurs = in_labels + in_prediction > 0
    iou = np.where(occurs, iou, np.nan)
    boundary = _ratio(counts.boundary[0], counts.boundary[1] + counts.boundary[2] - counts.boundary[0])
    # With one class in both, agreement by chance is certain, and kappa is not defined.
    several = int(occurs.sum()) > 1
    kappa = float(cohen_kappa_score(labels, predicted, labels=ids, sample_weight=weight)) if several else np.nan
    bins = _calibration_bins(counts.confidence)
    return Metrics(
        compared_pixels=total,
        unpredicted_pixels=int(counts.unpredicted.sum()),
        classes=tuple(
            ClassMetrics(name, int(in_labels[id_]), int(in_prediction[id_]), *map(float, row))
            for id_, (name, row) in enumerate(
                zip(names, zip(iou, f1, precision, recall, boundary, strict=True), strict=True)
            )
        ),
        mean_iou=_mean(iou),
        mean_boundary_iou=_mean(boundary),
        frequency_weighted_iou=float(np.nansum(iou * in_labels) / total),
        pixel_accuracy=float(accuracy_score(labels, predicted, sample_weight=weight)),
        kappa=kappa,
        expected_calibration_error=_weighted_gap(bins),
        calibration=bins,
    )


def _calibration_bins(by_confidence: NDArray[np.int64]) -> tuple[CalibrationBin, ...]:
    """Put the 256 levels of a confidence into bins ``(i / n, (i + 1) / n]``."""
    levels = np.arange(256)
    place = np.maximum(-(-levels * CALIBRATION_BINS // 255) - 1, 0)
    bins = []
    for number in range(CALIBRATION_BINS):
        part = by_confidence[place == number]
        pixels, right = int(part.sum()), int(part[:, 1].sum())
        if pixels:
            mean = float((part.sum(1) * levels[place == number]).sum() / pixels / 255)
            bins.append(CalibrationBin(pixels, mean, right / pixels))
    return tuple(bins)


def _weighted_gap(bins: tuple[CalibrationBin, ...]) -> float:
    gaps, pixels = [abs(one.confidence - one.accuracy) for one in bins], [one.pixels for one in bins]
    return float(np.average(gaps, weights=pixels)) if bins else np.nan


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def _mean(values: NDArray[np.float64]) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else np.nan
