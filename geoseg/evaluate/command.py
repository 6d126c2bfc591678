"""`geoseg evaluate`: segment if a model is given, compare with labels, write the report, print the metrics."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from geoseg.config import Settings
from geoseg.errors import SettingsError
from geoseg.evaluate.evaluate import Evaluation, evaluate
from geoseg.evaluate.report import summary, write_evaluation
from geoseg.run.segment import segment

RESULTS = "results"
"""Folder in the output for what a model has made of scenes."""


def segment_first(settings: Settings, console: Console) -> int:
    """Segment scenes for an evaluation; print those that failed.

    Returns:
        Exit code of the run. The scenes that were published can be evaluated.
    """
    report = segment(settings, console)
    for scene in report.failed:
        console.print(f"[red]failed[/red] {escape(scene['error'])}")
    return report.exit_code


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
    evaluation = evaluate(
        predictions, labels, classes=classes, class_column=class_column, ignore=ignore, boundary_px=boundary_px
    )
    try:
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
        table.add_row(escape(one.name), *(f"{rate:.3f}" for rate in rates), f"{one.label_pixels:,}")
    console.print(table)
    for entry in evaluation.polygons:
        console.print(
            f"polygons of {escape(entry.name)}: precision {entry.precision:.3f}, recall {entry.recall:.3f}, F1 "
            f"{entry.f1:.3f} at IoU 0.5 ({entry.matched:,} of {entry.labels:,} labels matched)"
        )
    for name, value in summary(evaluation.metrics):
        console.print(f"{name}: {value}")
