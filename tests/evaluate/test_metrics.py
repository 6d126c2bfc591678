"""Metrics from counts equal those that scikit-learn computes from the pixels themselves."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, cohen_kappa_score, f1_score, jaccard_score, precision_score, recall_score

from geoseg.evaluate.counts import Counts, count_window
from geoseg.evaluate.metrics import CALIBRATION_BINS, compute_metrics

NAMES = ("water", "forest", "field", "city")


def counts_of(labels: np.ndarray, predicted: np.ndarray, confidence: np.ndarray | None = None) -> Counts:
    core = (slice(None), slice(None))
    return count_window(labels, predicted, confidence, classes=4, boundary_px=2, core=core)


@pytest.mark.parametrize("seed", range(5))
def test_they_equal_those_of_the_pixels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 1, 2, 255], (90, 70), p=(0.2, 0.3, 0.4, 0.1)).astype(np.uint8)
    predicted = np.where(rng.random(labels.shape) < 0.6, labels, rng.choice([0, 1, 2, 255], labels.shape))
    metrics = compute_metrics(counts_of(labels, predicted.astype(np.uint8)), NAMES)
    known = (labels != 255) & (predicted != 255)
    a, b = labels[known], predicted[known]
    three = metrics.classes[:3]
    np.testing.assert_allclose([one.iou for one in three], jaccard_score(a, b, average=None))
    np.testing.assert_allclose([one.f1 for one in three], f1_score(a, b, average=None))
    np.testing.assert_allclose([one.precision for one in three], precision_score(a, b, average=None))
    np.testing.assert_allclose([one.recall for one in three], recall_score(a, b, average=None))
    assert metrics.mean_iou == pytest.approx(jaccard_score(a, b, average="macro"))
    assert metrics.frequency_weighted_iou == pytest.approx(jaccard_score(a, b, average="weighted"))
    assert metrics.pixel_accuracy == pytest.approx(accuracy_score(a, b))
    assert metrics.kappa == pytest.approx(cohen_kappa_score(a, b))
    assert metrics.compared_pixels == len(a)
    assert metrics.unpredicted_pixels == ((labels != 255) & (predicted == 255)).sum()
    absent = metrics.classes[3]
    assert absent.label_pixels == absent.predicted_pixels == 0
    assert all(map(math.isnan, (absent.iou, absent.f1, absent.precision, absent.recall, absent.boundary_iou)))
    assert math.isnan(metrics.expected_calibration_error), "there is no confidence"


def test_boundary_iou_tells_a_moved_boundary_where_iou_does_not() -> None:
    labels = np.zeros((200, 200), np.uint8)
    labels[:, 100:] = 1
    moved = np.zeros_like(labels)
    moved[:, 103:] = 1
    same, other = (compute_metrics(counts_of(labels, each), NAMES) for each in (labels, moved))
    assert same.mean_boundary_iou == same.mean_iou == 1
    assert other.mean_iou > 0.96
    # Of class 0, columns 98 and 99 against 101 and 102; of class 1, 100 and 101 against 103 and 104.
    assert other.mean_boundary_iou == 0


def test_calibration_error_is_that_of_its_definition() -> None:
    rng = np.random.default_rng(1)
    labels, predicted = rng.integers(0, 4, (2, 60, 50)).astype(np.uint8)
    confidence = rng.integers(1, 256, labels.shape).astype(np.uint8)
    metrics = compute_metrics(counts_of(labels, predicted, confidence), NAMES)
    share, right = confidence.ravel() / 255, (labels == predicted).ravel()
    edges = np.linspace(0, 1, CALIBRATION_BINS + 1)
    error = 0.0
    for low, high in pairwise(edges):
        inside = (share > low + 1e-12) & (share <= high + 1e-12)
        if inside.any():
            error += inside.sum() * abs(share[inside].mean() - right[inside].mean())
    assert metrics.expected_calibration_error == pytest.approx(error / len(share))
    assert sum(one.pixels for one in metrics.calibration) == len(share)


def test_one_class_alone_has_no_kappa() -> None:
    labels = np.full((5, 5), 2, np.uint8)
    metrics = compute_metrics(counts_of(labels, labels), NAMES)
    assert math.isnan(metrics.kappa)
    assert metrics.mean_iou == metrics.pixel_accuracy == 1


def test_nothing_to_compare_is_an_error() -> None:
    with pytest.raises(ValueError, match="no pixel has both"):
        compute_metrics(Counts.zero(4), NAMES)
    only_unpredicted = replace(Counts.zero(4), unpredicted=np.ones(4, np.int64))
    with pytest.raises(ValueError, match="no pixel has both"):
        compute_metrics(only_unpredicted, NAMES)
