"""What `geoseg demo` does: make a landscape, segment it, compare with the truth, draw it, say what to type next."""

import sys
from pathlib import Path
from time import perf_counter

import numpy as np
import rasterio
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from geoseg.config import RunSettings, Settings
from geoseg.demo.landscape import BANDS, LEGEND, write_landscape
from geoseg.grid.legend import NODATA_CLASS
from geoseg.publish.geoparquet import read_polygons
from geoseg.publish.preview import write_preview
from geoseg.raster.source.scene import describe
from geoseg.run.report import Report
from geoseg.run.segment import segment
from geoseg.store.storages.opening import open_storage

BUNDLE = Path(__file__).parent / "bundle"
_RGB_BANDS = (BANDS.index("red") + 1, BANDS.index("green") + 1, BANDS.index("blue") + 1)


def run_demo(*, size: int, seed: int, output: Path, address: str, console: Console) -> int:
    """Run the demo and print what it found; the exit code of the run.

    Args:
        size: Side of the landscape in pixels.
        seed: Which landscape; the bundle has seen none below 1000.
        output: Directory for the landscape, the results and the picture.
        address: As `run.address` of the settings.
        console: Where to print.
    """
    open_storage(str(output)).check_writable()
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
    confusion = confusion_matrix(truth, classes, len(LEGEND))
    _print_result(report, confusion, console)
    picture = output / "preview.png"
    write_preview(picture, str(scene), _RGB_BANDS, describe(scene).grid, classes, read_polygons(results), LEGEND)
    _print_what_next(output, classes, picture, console)
    return report.exit_code


def confusion_matrix(truth: Path, classes: Path, count: int) -> NDArray[np.int64]:
    """Count pixels by true class (rows) and predicted class (columns), where both rasters hold one.

    Args:
        truth: Class map, uint8, 255 where unknown.
        classes: Class map of the same size.
        count: Number of classes.
    """
    confusion = np.zeros((count, count), np.int64)
    with rasterio.open(truth) as a, rasterio.open(classes, OVERVIEW_LEVEL="NONE") as b:
        for _, window in a.block_windows(1):
            true, found = a.read(1, window=window), b.read(1, window=window)
            known = (true != NODATA_CLASS) & (found != NODATA_CLASS)
            pairs = true[known].astype(np.int64) * count + found[known]
            confusion += np.bincount(pairs, minlength=count * count).reshape(count, count)
    return confusion


def intersection_over_union(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """IoU of every class, shape (classes,); NaN for a class that neither raster holds."""
    hit = np.diag(confusion).astype(np.float64)
    union = confusion.sum(0) + confusion.sum(1) - hit
    return np.where(union > 0, hit / np.maximum(union, 1), np.nan)


def _print_result(report: Report, confusion: NDArray[np.int64], console: Console) -> None:
    scene, iou = report.done[0], intersection_over_union(confusion)
    table = Table("class", "km2", "IoU with the truth", box=None)
    for entry in LEGEND.classes:
        area_km2 = scene["area_m2_by_class"][entry.name] / 1e6
        table.add_row(entry.name, f"{area_km2:,.1f}", f"{iou[entry.id]:.3f}")
    console.print(table)
    console.print(
        f"{report.patches:,} patches, {report.px_per_s / 1e6:.2f} Mpx/s, {report.seconds:.0f} s; "
        f"{scene['polygons']:,} polygons, {scene['area_m2'] / 1e6:,.1f} km2; "
        f"mIoU {np.nanmean(iou):.3f}, accuracy {np.trace(confusion) / confusion.sum():.3f}"
    )


def _print_what_next(output: Path, classes: Path, picture: Path, console: Console) -> None:
    results, programs = output / "results", _shorten(Path(sys.executable).parent)
    console.print(
        f"picture    {picture}\n"
        f"class map  {classes}\n"
        f"polygons   {results / 'polygons'}\n\n"
        "What to type next:\n"
        f"  {programs / 'python'} -c \"import geoseg; print(geoseg.read_polygons('{results}').head())\"\n"
        f"  {programs / 'geoseg'} models show {_shorten(BUNDLE)}\n"
        f"  {programs / 'geoseg'} segment YOUR.tif --model YOUR_BUNDLE --output results --dry-run\n"
        "QGIS, DuckDB and GeoPandas open the class map and the polygons as they are."
    )


def _shorten(path: Path) -> Path:
    """The path from here, if it lies below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
