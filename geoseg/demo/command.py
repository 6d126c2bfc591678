"""`geoseg demo`: make a landscape, segment it, compare it with the truth, draw it, and print the next commands."""

import math
import sys
from pathlib import Path
from time import perf_counter

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from geoseg.config import RunSettings, Settings
from geoseg.demo.landscape import BANDS, LEGEND, write_landscape
from geoseg.evaluate.evaluate import evaluate
from geoseg.evaluate.metrics import Metrics
from geoseg.publish.geoparquet import read_polygons
from geoseg.publish.preview import write_preview
from geoseg.raster.source.scene import describe
from geoseg.run.report import Report
from geoseg.run.segment import segment
from geoseg.store.storages.opening import check_writable, open_storage

BUNDLE = Path(__file__).parent / "bundle"
_RGB_BANDS = (BANDS.index("red") + 1, BANDS.index("green") + 1, BANDS.index("blue") + 1)


def run_demo(*, size: int, seed: int, output: Path, address: str, console: Console) -> int:
    """Run the demo, print its results, and return the exit code of the run.

    Args:
        size: Side of the landscape in pixels.
        seed: Seed of the landscape; the model was trained on seeds from 1000 on.
        output: Directory for the landscape, the results and the picture.
        address: As `run.address` of the settings.
        console: Where to print.
    """
    check_writable(open_storage(str(output)))
    scene, truth, results = output / "landscape.tif", output / "truth.tif", output / "results"
    started = perf_counter()
    write_landscape(scene, truth, size=size, seed=seed)
    console.print(f"landscape {size} x {size} made in {perf_counter() - started:.0f} s: {scene}")
    settings = Settings(
        scenes=(str(scene),), model=str(BUNDLE), output=str(results), overwrite=True, run=RunSettings(address=address)
    )
    report = segment(settings, console)
    if not report.done:
        console.print(escape(report.scenes[0]["error"]))
        return report.exit_code
    classes = results / "rasters" / scene.stem / "classes.tif"
    _print_result(report, evaluate([results], [truth]).metrics, console)
    picture = output / "preview.png"
    write_preview(picture, str(scene), _RGB_BANDS, describe(scene).grid, classes, read_polygons(results), LEGEND)
    _print_what_next(output, truth, classes, picture, console)
    return report.exit_code


def _print_result(report: Report, metrics: Metrics, console: Console) -> None:
    scene = report.done[0]
    table = Table("class", "km2", "IoU with the truth", box=None)
    for entry in metrics.classes:
        table.add_row(
            entry.name,
            f"{scene['area_m2_by_class'][entry.name] / 1e6:,.1f}",
            "-" if math.isnan(entry.iou) else f"{entry.iou:.3f}",
        )
    console.print(table)
    console.print(
        f"{report.patches:,} patches, {report.px_per_s / 1e6:.2f} Mpx/s, {report.seconds:.0f} s; "
        f"{scene['polygons']:,} polygons, {scene['area_m2'] / 1e6:,.1f} km2; "
        f"mIoU {metrics.mean_iou:.3f}, accuracy {metrics.pixel_accuracy:.3f}"
    )


def _print_what_next(output: Path, truth: Path, classes: Path, picture: Path, console: Console) -> None:
    results, programs = output / "results", _shorten(Path(sys.executable).parent)
    console.print(
        f"picture    {picture}\n"
        f"class map  {classes}\n"
        f"polygons   {results / 'polygons'}\n\n"
        "What to type next:\n"
        f"  {programs / 'python'} -c \"import geoseg; print(geoseg.read_polygons('{results}').head())\"\n"
        f"  {programs / 'geoseg'} evaluate {results} --labels {truth} --output {output / 'evaluation'}\n"
        f"  {programs / 'geoseg'} models show {_shorten(BUNDLE)}\n"
        f"  {programs / 'geoseg'} segment YOUR.tif --model YOUR_BUNDLE --output results --dry-run\n"
        "QGIS, DuckDB and GeoPandas open the class map and the polygons as they are."
    )


def _shorten(path: Path) -> Path:
    """Make a path relative to the current folder, if it is inside."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
