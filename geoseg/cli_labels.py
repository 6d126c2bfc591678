"""The commands `geoseg labels ...`: parse arguments, call one function, print its result."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from geoseg.cli_models import out
from geoseg.errors import ExitCode
from geoseg.run.summary import count

labels = typer.Typer(no_args_is_help=True, help="Collect labels: windows to label, checks, one set of many files.")
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace the output, with corrections in it.")]
ClassesOption = Annotated[
    str | None, typer.Option(help="Classes that are allowed: water,forest or a file. Default: those of the file.")
]
_SHOWN = 5


@labels.command("sample")
def sample_command(
    results: Annotated[Path, typer.Argument(help="Output folder of runs.")],
    output: Annotated[Path, typer.Option(help="GeoPackage to write, to be corrected in QGIS.")],
    windows: Annotated[int, typer.Option("--count", min=1, max=1_000_000, help="Number of windows.")] = 50,
    window_px: Annotated[int, typer.Option(min=8, max=65_536, help="Side of a window in pixels.")] = 256,
    by: Annotated[
        str, typer.Option(help="confidence, margin, entropy (rasters of the run), or random.")
    ] = "confidence",
    scene: Annotated[list[str] | None, typer.Option(help="Scene to look at; may be repeated. Default all.")] = None,
    labelled: Annotated[
        list[Path] | None, typer.Option(help="Label file of an earlier round, whose windows are not proposed again.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of --by random.")] = 0,
    overwrite: OverwriteOption = False,
) -> None:
    """Propose the windows that are worth labelling next, with the predicted polygons in them to correct."""
    from geoseg.labels.sample import Sampling, sample_labels  # noqa: PLC0415  GDAL takes time to load
    from geoseg.labels.uncertainty import parse_measure  # noqa: PLC0415

    options = Sampling(
        windows, window_px, parse_measure(by), tuple(scene or ()), tuple(labelled or ()), seed, overwrite
    )
    found = sample_labels(results, output, options)
    shares = ", ".join(f"{name} {number}" for name, number in found.classes.items())
    out.print(f"{count(found.windows, 'window')} with {count(found.polygons, 'polygon')}: {escape(str(output))}")
    out.print(f"most uncertain class: {escape(shares)}")
    out.print(
        "In QGIS: correct the layer labels (class_name, lines), set done in the layer windows, save. Then run "
        f"`geoseg labels check {escape(str(output))}`."
    )


@labels.command("check")
def check_command(
    files: Annotated[list[Path], typer.Argument(help="Label files.")],
    classes: ClassesOption = None,
    output: Annotated[Path | None, typer.Option(help="GeoPackage for the places of all problems.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output.")] = False,
) -> None:
    """Find overlaps, gaps, unknown classes, slivers and invalid polygons; exit code 3 if there are any but slivers."""
    from geoseg.labels.check import Kind, check_labels, source_of, write_problems  # noqa: PLC0415
    from geoseg.labels.label_file import read_label_file  # noqa: PLC0415

    allowed, failed, found = _names(classes), False, []
    for path in files:
        file = read_label_file(path)
        problems = check_labels(file, allowed)
        found.append((file, problems))
        failed = failed or any(problem.kind is not Kind.SLIVER for problem in problems)
        counts = Counter(problem.kind for problem in problems)
        listed = ", ".join(count(counts[kind], str(kind), kind.plural) for kind in Kind if counts[kind]) or "no problem"
        out.print(f"{escape(str(path))}: {count(len(file.labels), 'polygon')}, {listed}")
        for kind in Kind:
            of_kind = [problem for problem in problems if problem.kind is kind]
            for problem in of_kind[:_SHOWN]:
                out.print(f"  {escape(source_of(path, problem).removeprefix(f'{path}: '))}")
            if len(of_kind) > _SHOWN:
                out.print(f"  ... and {len(of_kind) - _SHOWN} more {escape(str(kind))}")
    if output is not None:
        write_problems(output, found, overwrite=overwrite)
        out.print(f"places  {escape(str(output))}")
    raise typer.Exit(ExitCode.SCENES_FAILED if failed else ExitCode.OK)


@labels.command("merge")
def merge_command(
    files: Annotated[list[Path], typer.Argument(help="Label files; where windows overlap, the last one counts.")],
    output: Annotated[Path, typer.Option(help="GeoPackage to write: labels for `geoseg train`.")],
    classes: ClassesOption = None,
    every_window: Annotated[bool, typer.Option("--all", help="Also windows that are not marked as done.")] = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Merge corrected label files into one set of labels for a training."""
    from geoseg.labels.merge import merge_labels  # noqa: PLC0415

    merged = merge_labels(files, output, _names(classes), every_window=every_window, overwrite=overwrite)
    where = f" in {count(merged.windows, 'window')}" if merged.windows else ""
    out.print(f"{count(merged.polygons, 'polygon')}{where}: {escape(str(output))}")
    if merged.left_out:
        out.print(f"[yellow]warning:[/yellow] {count(merged.left_out, 'window')} not marked as done, left out")


def _names(classes: str | None) -> tuple[str, ...]:
    from geoseg.importer.facts.legends import parse_classes  # noqa: PLC0415

    return parse_classes(classes).names if classes else ()
