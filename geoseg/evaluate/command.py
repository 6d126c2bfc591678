"""`geoseg evaluate`: segment if a model is given, compare with labels, write the report, print the metrics."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from geoseg.config import Settings
from geoseg.errors import SettingsError
from geoseg.evaluate.evaluate import Evaluation, evaluate
from geoseg.evaluate.report import number, summary, write_evaluation
from geoseg.run.segment import segment
from geoseg.store.manifest import rasters_prefix

RESULTS = "results"
"""Folder in the output for what a model has made of scenes."""


def segment_first(settings: Settings, console: Console) -> tuple[list[Path], int]:
    """Segment scenes for an evaluation; print those that failed.

    Returns:
        The class maps of the scenes that are published now, and the exit code of the run.

    Raises:
        SettingsError: If no scene is published.
    """
    report = segment(settings, console)
    for scene in report.failed:
        console.print(f"[red]failed[/red] {escape(scene['error'])}")
    published = [scene["scene_id"] for scene in (*report.done, *report.up_to_date)]
    if not published:
        raise SettingsError("No scene could be segmented, so there is nothing to evaluate.")
    return [Path(settings.output, rasters_prefix(scene), "classes.tif") for scene in published], report.exit_code


def run_evaluation(
    predictions: Sequence[Path],
    labels: Sequence[Path],
    output: Path,
    console: Console,
    *,
    classes: Path | None,
    class_column: str | None,
    ignore: Sequence[int],
    boundary_px: int,
) -> None:
    """Evaluate, write the report and print it; arguments as of `geoseg.evaluate.evaluate.evaluate`."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        evaluation = evaluate(
            predictions, labels, classes=classes, class_column=class_column, ignore=ignore, boundary_px=boundary_px
        )
        files = write_evaluation(evaluation, output)
    except OSError as error:
        raise SettingsError(f"{error.filename or output} cannot be written: {error.strerror or error}.") from error
    print_evaluation(evaluation, console)
    console.print(f"report: {escape(', '.join(map(str, files)))}")


def print_evaluation(evaluation: Evaluation, console: Console) -> None:
    """Print the metrics of the classes and over all of them."""
    table = Table("class", "IoU", "F1", "precision", "recall", "boundary IoU", "label pixels", box=None)
    for one in evaluation.metrics.classes:
        rates = (one.iou, one.f1, one.precision, one.recall, one.boundary_iou)
        table.add_row(escape(one.name), *map(number, rates), f"{one.label_pixels:,}")
    console.print(table)
    for entry in evaluation.polygons:
        console.print(
            f"polygons of {escape(entry.name)}: precision {number(entry.precision)}, recall {number(entry.recall)}, "
            f"F1 {number(entry.f1)} at IoU 0.5 ({entry.matched:,} of {entry.labels:,} labels matched)"
        )
    if evaluation.not_compared:
        text = f"no pixel of {', '.join(evaluation.not_compared)} has both a label and a predicted class."
        console.print(f"[yellow]warning:[/yellow] {escape(text)}")
    for name, value in summary(evaluation.metrics):
        console.print(f"{name}: {value}")
