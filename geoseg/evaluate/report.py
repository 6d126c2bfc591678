"""Write an evaluation as JSON, Markdown and pictures."""

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from geoseg.evaluate.evaluate import Evaluation, SceneEvaluation
from geoseg.evaluate.metrics import Metrics
from geoseg.evaluate.polygon_match import PolygonMetrics

_METADATA = {"Software": None}
"""No version of matplotlib in the pictures: same evaluation, same bytes."""
MAX_NUMBERED, MAX_SIDE_IN = 40, 30.0
"""Most classes whose cells have numbers, and the largest side of a picture in inches."""


def write_evaluation(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Write ``evaluation.json``, ``evaluation.md``, ``confusion.png`` and, with a confidence, ``calibration.png``.

    Returns:
        The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    report, text = folder / "evaluation.json", folder / "evaluation.md"
    report.write_text(json.dumps(finite(as_json(evaluation)), indent=2) + "\n")
    text.write_text(as_markdown(evaluation))
    pictures = [folder / "confusion.png"]
    (folder / "calibration.png").unlink(missing_ok=True)  # of an earlier evaluation, which may have had a confidence
    draw_confusion(evaluation.counts.confusion, evaluation.mapping.names).savefig(pictures[0], metadata=_METADATA)
    if evaluation.metrics.calibration:
        pictures.append(folder / "calibration.png")
        draw_calibration(evaluation.metrics).savefig(pictures[1], metadata=_METADATA)
    return [report, text, *pictures]


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """The evaluation as values of JSON; rows of the confusion matrix are labels, columns predictions."""
    return {
        "boundary_px": evaluation.boundary_px,
        **asdict(evaluation.metrics),
        "confusion": evaluation.counts.confusion.tolist(),
        "polygons": [_polygons(entry) for entry in evaluation.polygons],
        "scenes": [
            {
                "scene": scene.scene,
                "class_map": scene.classes,
                **asdict(scene.metrics),
                "confusion": scene.counts.confusion.tolist(),
                "polygons": [_polygons(entry) for entry in scene.polygons],
            }
            for scene in evaluation.scenes
        ],
        "scenes_not_compared": list(evaluation.not_compared),
    }


def as_markdown(evaluation: Evaluation) -> str:
    """The evaluation as tables for people."""
    return "\n".join(_markdown(evaluation)) + "\n"


def summary(metrics: Metrics) -> list[tuple[str, str]]:
    """Names and values of the metrics over all classes."""
    rows = [
        ("pixels compared", f"{metrics.compared_pixels:,}"),
        ("pixels with a label and no prediction", f"{metrics.unpredicted_pixels:,}"),
        ("mean IoU", number(metrics.mean_iou)),
        ("pixel accuracy", number(metrics.pixel_accuracy)),
        ("frequency-weighted IoU", number(metrics.frequency_weighted_iou)),
        ("Cohen's kappa", number(metrics.kappa)),
        ("mean boundary IoU", number(metrics.mean_boundary_iou)),
    ]
    if metrics.calibration:
        rows.append(("expected calibration error", number(metrics.expected_calibration_error)))
    return rows


def _markdown(evaluation: Evaluation) -> Iterator[str]:
    metrics, names = evaluation.metrics, evaluation.mapping.names
    yield "# Evaluation\n"
    yield from as_table(("metric", "value"), summary(metrics))
    yield f"\n## Classes\n\nBoundary IoU compares pixels within {evaluation.boundary_px} pixels of another class.\n"
    columns = ("class", "IoU", "F1", "precision", "recall", "boundary IoU", "label pixels", "predicted pixels")
    yield from as_table(
        columns,
        [
            (
                one.name,
                *map(number, (one.iou, one.f1, one.precision, one.recall, one.boundary_iou)),
                f"{one.label_pixels:,}",
                f"{one.predicted_pixels:,}",
            )
            for one in metrics.classes
        ],
    )
    yield "\n## Confusion matrix\n\nPixels; rows are labels, columns predictions.\n"
    rows = [
        (name, *(f"{pixels:,}" for pixels in row)) for name, row in zip(names, evaluation.counts.confusion, strict=True)
    ]
    yield from as_table(("", *names), rows)
    if evaluation.polygons:
        yield "\n## Polygons\n\nTwo polygons match at an IoU of 0.5 or more.\n"
        heading = ("class", "precision", "recall", "F1", "labels", "predicted", "matched")
        yield from as_table(heading, map(_polygon_row, evaluation.polygons))
    if evaluation.not_compared:
        yield f"\nNo pixel could be compared of: {', '.join(evaluation.not_compared)}."
    yield "\n## Scenes\n"
    yield from as_table(("scene", "pixels compared", "mean IoU", "pixel accuracy"), map(_scene_row, evaluation.scenes))


def _polygon_row(one: PolygonMetrics) -> tuple[str, ...]:
    numbers = (one.labels, one.predicted, one.matched)
    return (one.name, *map(number, (one.precision, one.recall, one.f1)), *map("{:,}".format, numbers))


def _scene_row(one: SceneEvaluation) -> tuple[str, ...]:
    metrics = one.metrics
    return (one.scene, f"{metrics.compared_pixels:,}", number(metrics.mean_iou), number(metrics.pixel_accuracy))


def draw_confusion(confusion: NDArray[np.int64], names: tuple[str, ...]) -> Figure:
    """Draw a confusion matrix: the share of each label (row) that was predicted as each class."""
    share = 100 * confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    side = min(3 + 0.6 * len(names), MAX_SIDE_IN)
    figure = Figure(figsize=(side + 1, side), layout="constrained", dpi=120)
    axes = figure.subplots()
    picture = axes.imshow(share, vmin=0, vmax=100, cmap="Blues")
    labels = [name.replace("$", r"\$") for name in names]  # else matplotlib reads it as a formula
    for (row, col), value in np.ndenumerate(share) if len(names) <= MAX_NUMBERED else ():
        axes.text(col, row, f"{value:.0f}", ha="center", va="center", color="white" if value > 50 else "black")
    axes.set_xticks(range(len(names)), labels, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), labels)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("label")
    figure.colorbar(picture, label="share of the label's pixels, %")
    return figure


def draw_calibration(metrics: Metrics) -> Figure:
    """Draw the accuracy of each bin of confidence, and the share of pixels in it."""
    figure = Figure(figsize=(5, 5.5), layout="constrained", dpi=120)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    confidence = [one.confidence for one in metrics.calibration]
    upper.plot((0, 1), (0, 1), color="grey", linestyle="--", label="calibrated")
    upper.plot(confidence, [one.accuracy for one in metrics.calibration], marker="o", label="this prediction")
    upper.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    upper.set_title(f"Expected calibration error {metrics.expected_calibration_error:.3f}")
    upper.legend()
    pixels = np.array([one.pixels for one in metrics.calibration])
    lower.bar(confidence, pixels / pixels.sum(), width=0.03)
    lower.set(xlabel="confidence", ylabel="share of pixels")
    return figure


def _polygons(entry: PolygonMetrics) -> dict[str, Any]:
    return {**asdict(entry), "precision": entry.precision, "recall": entry.recall, "f1": entry.f1}


def as_table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Lines of a Markdown table; all columns but the first are aligned to the right."""
    yield f"| {' | '.join(columns)} |"
    yield f"|{'|'.join(['---', *['---:'] * (len(columns) - 1)])}|"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', ' ') for cell in row)} |"


def number(value: float) -> str:
    """A metric with three digits; a dash where it is not defined."""
    return "-" if math.isnan(value) else f"{value:.3f}"


def finite(value: Any) -> Any:
    """The same value with None for NaN, which JSON lacks."""
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value
