"""The command line: parse arguments, call one function, print its result."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from geoseg import __version__
from geoseg.cli_labels import labels
from geoseg.cli_models import TrustOption, models, out
from geoseg.cli_results import export_command
from geoseg.cli_scenes import scenes
from geoseg.cli_train import train_command
from geoseg.config import Settings, load_settings
from geoseg.errors import ExitCode, GeosegError, Interrupted, SettingsError
from geoseg.run.summary import count, print_report

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(models, name="models")
app.command("train")(train_command)
app.command("export")(export_command)
app.add_typer(scenes, name="scenes")
app.add_typer(labels, name="labels")

err = Console(stderr=True, highlight=False, soft_wrap=True)

ModelOption = Annotated[str | None, typer.Option(help="Directory of the model bundle.")]
ConfigOption = Annotated[Path | None, typer.Option(help="YAML file with settings; see configs/.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="One setting, such as tiling.patch_px=512.")]
AddressOption = Annotated[str | None, typer.Option(help="auto, local, inline or a Ray address.")]


def _show_version(wanted: bool) -> None:
    if wanted:
        out.print(f"geoseg {__version__}")
        raise typer.Exit


@app.callback()
def of_all_commands(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Turn large GeoTIFFs into land-use polygons on a Ray cluster, without a seam, a gap or a lost pixel."""


@app.command("segment")
def segment_command(
    scenes: Annotated[list[str] | None, typer.Argument(help="Rasters to segment.", metavar="SCENE...")] = None,
    model: ModelOption = None,
    output: Annotated[str | None, typer.Option(help="Directory for the results.")] = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    address: AddressOption = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results of other settings, model or input.")
    ] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Read all published files to find changed ones.")] = False,
    trust_model_code: TrustOption = False,
    remote: Annotated[bool, typer.Option("--remote", help="Accept https:// and s3:// as scenes.")] = False,
    mosaic: Annotated[
        str | None, typer.Option("--mosaic", help="Make one scene of this name of all SCENEs.", metavar="NAME")
    ] = None,
    aoi: Annotated[
        str | None,
        typer.Option(help="Only this area: a vector file, or xmin,ymin,xmax,ymax in degrees (scene.aoi_crs)."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be done.")] = False,
) -> None:
    """Segment scenes; publish class maps (COG) and polygons (GeoParquet). The same command resumes a run that died."""
    flags: dict[str, Any] = {
        "scenes": None if mosaic else scenes or None,
        "mosaics": [{"id": mosaic, "items": scenes or []}] if mosaic else None,
        "model": model,
        "output": output,
        "run.address": address,
        "overwrite": overwrite or None,
        "run.verify": verify or None,
        "trust_model_code": trust_model_code or None,
        "scene.remote": remote or None,
        "scene.aoi": aoi,
    }
    settings = load_settings(config, assignments or (), flags)
    if dry_run:
        _print_forecast(settings)
        return
    from geoseg.run.segment import segment  # noqa: PLC0415  importing torch takes seconds; --help must be fast

    report = segment(settings, out)
    print_report(report, settings.output, out, err)
    raise typer.Exit(report.exit_code)


@app.command("clean")
def clean_command(
    output: Annotated[str, typer.Argument(help="Output of runs: a folder or s3://BUCKET/PREFIX.")],
) -> None:
    """Remove the unfinished work of runs that died. Published results stay."""
    from geoseg.store.clean import clean  # noqa: PLC0415

    removed = clean(output)
    out.print(f"{count(removed.files, 'file')}, {removed.bytes / 2**20:,.1f} MiB removed")
    for scene in removed.scenes:
        out.print(f"{escape(scene)}: the next run does it from the start, unless it is published")


@app.command("validate")
def validate_command(output: Annotated[Path, typer.Argument(help="Output folder of a run.")]) -> None:
    """Read results and check them: files and sha256, coverage, areas; every row is computed again."""
    from geoseg.verify.certificate import certificate, failures, verdict  # noqa: PLC0415
    from geoseg.verify.validate import validate  # noqa: PLC0415

    checks = validate(output)
    for table in certificate(checks):
        out.print(table, soft_wrap=False)
    for line in failures(checks):
        err.print(escape(line))
    out.print(verdict(checks))
    raise typer.Exit(ExitCode.OK if all(check.finding.ok for check in checks) else ExitCode.SCENES_FAILED)


@app.command("polygonize")
def polygonize_command(
    class_map: Annotated[list[str], typer.Argument(help="Raster of one band of integers.", metavar="CLASSMAP")],
    output: Annotated[Path, typer.Option(help="File to write: .parquet, .gpkg or .fgb.")],
    simplify_px: Annotated[
        float, typer.Option(help="Simplify lines, at most so far from the pixel edges; 0 keeps stairs.")
    ] = 1.0,
    min_area_px: Annotated[int, typer.Option(help="Smaller areas get the value of a neighbour.", min=0)] = 0,
    block_px: Annotated[int, typer.Option(help="Side of a block. Changes memory, not the result.")] = 2048,
    values: Annotated[str | None, typer.Option(help="Values to publish, such as 1,2,3; default all.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the output; other layers of a .gpkg stay.")
    ] = False,
    remote: Annotated[bool, typer.Option("--remote", help="Accept an https:// or s3:// URL.")] = False,
    allow_private_hosts: Annotated[
        bool, typer.Option("--allow-private-hosts", help="With --remote: also http:// and private hosts.")
    ] = False,
    allow_continuous: Annotated[
        bool, typer.Option("--allow-continuous", help="Accept a raster that looks continuous.")
    ] = False,
) -> None:
    """Polygonize any class raster, of any size."""
    from geoseg.polygonizer.file import PolygonizeOptions, parse_values, polygonize_raster  # noqa: PLC0415

    if len(class_map) > 1:
        raise SettingsError(
            f"polygonize takes one raster and got {len(class_map)}: {', '.join(class_map[:3])}"
            f"{' ...' if len(class_map) > 3 else ''}. A shell pattern expands to all matching files; use a loop: "
            'for f in *.tif; do geoseg polygonize "$f" --output "${f%.*}.parquet"; done'
        )
    options = PolygonizeOptions(
        simplify_px,
        min_area_px,
        block_px,
        None if values is None else parse_values(values),
        overwrite=overwrite,
        remote=remote,
        allow_private_hosts=allow_private_hosts,
        allow_continuous=allow_continuous,
    )
    polygons = polygonize_raster(
        class_map[0], output, options, lambda text: err.print(f"[yellow]warning:[/yellow] {escape(text)}")
    )
    out.print(f"{count(polygons, 'polygon')} in {escape(str(output))}")


@app.command("evaluate")
def evaluate_command(
    predictions: Annotated[
        list[str], typer.Argument(help="Results folders or class maps; with --model: scenes.", metavar="PREDICTION...")
    ],
    labels: Annotated[list[Path], typer.Option(help="Raster of class numbers, or polygons. May be repeated.")],
    output: Annotated[Path, typer.Option(help="Folder for the report.")],
    classes: Annotated[Path | None, typer.Option(help="YAML file: which label is which class.")] = None,
    class_column: Annotated[str | None, typer.Option(help="Column with the class of label polygons.")] = None,
    ignore: Annotated[list[int] | None, typer.Option(help="Label value that is not compared.")] = None,
    boundary_px: Annotated[int, typer.Option(help="Width of boundaries for boundary IoU.", min=1, max=512)] = 3,
    model: ModelOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    address: AddressOption = None,
    trust_model_code: TrustOption = False,
) -> None:
    """Compare results with labels: IoU, F1, kappa, boundary IoU, calibration, matched polygons."""
    from geoseg.evaluate.command import RESULTS, run_evaluation, segment_first  # noqa: PLC0415

    exit_code: int = ExitCode.OK
    maps = [Path(path) for path in predictions]
    if model is None and config is None and (assignments or address or trust_model_code):
        raise SettingsError("--set, --address and --trust-model-code are about segmenting scenes: give a --model, too.")
    if model is not None or config is not None:
        flags = {
            "scenes": predictions,
            "model": model,
            "output": str(output / RESULTS),
            "run.address": address,
            "trust_model_code": trust_model_code or None,
        }
        maps, exit_code = segment_first(load_settings(config, assignments or (), flags), err)
    run_evaluation(
        maps,
        labels,
        output,
        out,
        classes=classes,
        class_column=class_column,
        ignore=ignore or (),
        boundary_px=boundary_px,
    )
    raise typer.Exit(exit_code)


@app.command("demo")
def demo_command(
    size: Annotated[int, typer.Option(help="Side of the landscape in pixels.", min=256)] = 4096,
    seed: Annotated[int, typer.Option(help="Seed of the landscape.", min=0)] = 7,
    output: Annotated[Path, typer.Option(help="Directory for landscape, results and picture.")] = Path("demo-output"),
    address: Annotated[str, typer.Option(help="auto, local, inline or a Ray address.")] = "local",
) -> None:
    """Make a landscape, segment it with the bundled model, and compare the result with the truth."""
    from geoseg.demo.command import run_demo  # noqa: PLC0415

    raise typer.Exit(run_demo(size=size, seed=seed, output=output, address=address, console=out))


def _print_forecast(settings: Settings) -> None:
    from geoseg.plan.forecast import forecast  # noqa: PLC0415

    plan = forecast(settings)
    table = Table("pixels", "bands", "blocks", "patches", "memory a block", "disk", "time", "scene", box=None)
    for expected in plan.scenes:
        scene = expected.plan
        table.add_row(
            f"{scene.scene.grid.height} x {scene.scene.grid.width}",
            " ".join(map(str, scene.selection.bands)),
            f"{expected.blocks} of {scene.tiling.block_px} px",
            f"{expected.patches:,}",
            f"{scene.block_bytes / 2**20:,.0f} MiB",
            f"{expected.disk_bytes / 2**30:.2f} GiB",
            f"about {max(1, round(expected.seconds / 60))} min",
            scene.scene.scene_id,
        )
    Console(width=10_000, highlight=False).print(table)  # in full width, also on a narrow terminal or pipe
    for line in plan.reused:
        out.print(escape(line))
    for expected in plan.scenes:
        scene, area = expected.plan, expected.plan.selection.area
        if area is not None and scene.reused is None:
            out.print(
                f"{escape(scene.scene.scene_id)}: the area of interest holds {area.pixels:,} of "
                f"{scene.scene.grid.window.pixels:,} pixels; {expected.blocks:,} of {scene.tiling.count:,} blocks are "
                f"read, and {expected.patches:,} of {scene.tiling.lattice.count:,} patches are predicted."
            )
    out.print(f"Workers on {plan.device}: {plan.workers}; times are those of a common U-Net. Nothing was written.")
    for warning in plan.warnings:
        out.print(f"[yellow]warning:[/yellow] {escape(warning)}")
    for _, message in plan.failed:
        err.print(f"[red]would fail[/red] {escape(message)}")
    raise typer.Exit(ExitCode.SCENES_FAILED if plan.failed else ExitCode.OK)


def main() -> None:
    """Run the command line; a `GeosegError` is printed as a message, without traceback."""
    try:
        app()
    except GeosegError as error:
        word = "[yellow]stopped:[/yellow]" if isinstance(error, Interrupted) else "[red]error:[/red]"
        err.print(f"{word} {escape(str(error))}")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
