"""Time of a run whose model costs nothing: the limit of the pipeline, its slowest stage, the price of lines."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
import rasterio

from geoseg.demo.command import BUNDLE
from tests.benchmarks.class_maps import mirrored
from tests.benchmarks.commands import read_report, segment_command, warm_up, window_of
from tests.benchmarks.cpu_times import is_own, watch_cpu
from tests.benchmarks.figure import Figure
from tests.benchmarks.processes import DRIVER
from tests.benchmarks.scenes import TILE_PX, landscape, repeating, shrunk
from tests.support.bundles import constant_bundle, identity_bundle
from tests.support.scenes import TRANSFORM

SIDE_PX = 16384
DEMO_PX, DEMO_TIMES = 2048, 4
"""Side of the demo's class map, and how often it is repeated on each axis."""
ROUNDS = 3
WORKERS = 2
SETTINGS = {"run.address": "local", "run.device": "cpu", "run.workers": WORKERS, "run.threads": 1}
GOAL_MPX_PER_S = 12.0
LINES_COST = 1.05
"""Most CPU time of a run that draws lines, beside one that keeps the stairs of pixels."""


def run(folder: Path) -> Iterator[Figure]:
    """Segment noise with a model that gives the same logits everywhere."""
    warm_up(folder)
    side, output = shrunk(SIDE_PX), folder / "out"
    bundle = constant_bundle(folder / "bundle", 4, 5, patch_px=512, overlap_px=64)
    times = watch_cpu(segment_command(repeating(folder, side), bundle, output, SETTINGS), folder / "segment.log")
    report = read_report(output)
    pixels, taken = report["valid_pixels"], times.between(*window_of(report))
    there_ns = len(os.sched_getaffinity(0)) * report["seconds"] / pixels * 1e9

    def cost(what: str, cpu_s: float) -> Figure:
        return Figure("null", what, cpu_s / pixels * 1e9, "ns/px", there_ns, "what the cores have")

    yield Figure(
        "null", f"{side} x {side} px without a model, first block to last polygon", report["px_per_s"] / 1e6, "Mpx/s",
        GOAL_MPX_PER_S, "the goal", least=1,
    )  # fmt: skip
    yield cost("  CPU time of its processes and Ray's", taken.total())
    yield cost("  Ray's", sum(s for kind, s in taken.items() if not is_own(kind)))
    yield cost("  driver", taken[DRIVER])
    yield cost("  units of work", sum(stage["cpu_seconds"] for stage in report["stages"].values()))
    for name, stage in report["stages"].items():
        yield cost(f"    {name}", stage["cpu_seconds"])
    yield cost_of_lines(folder, taken.total() / pixels)


def cost_of_lines(folder: Path, null_cpu_s: float) -> Figure:
    """CPU time a pixel that lines add on the demo's class map, beside a run without a model."""
    scene, bundle = write_demo_classes(folder), identity_bundle(folder / "classes", patch_px=512, overlap_px=64)
    added = []
    for number in range(ROUNDS):
        cpu_s = {}
        for simplify_px in (0, 1):
            output = folder / f"lines-{number}-{simplify_px}"
            settings = {**SETTINGS, "run.address": "inline", "polygons.simplify_px": simplify_px}
            subprocess.run(segment_command(scene, bundle, output, settings), check=True, stdout=subprocess.DEVNULL)
            report = read_report(output)
            cpu_s[simplify_px] = sum(report["stages"][name]["cpu_seconds"] for name in ("trace", "polygons"))
        added.append((cpu_s[1] - cpu_s[0]) / report["valid_pixels"])
    what = "with the demo's class map, lines drawn"
    total, before = null_cpu_s + median(added), null_cpu_s
    return Figure("null", what, total * 1e9, "ns/px", before * 1e9, "stairs of pixels", limit=LINES_COST)


def write_demo_classes(folder: Path) -> Path:
    """The class map of the demo's model as a scene, repeated without seams."""
    side, output, path = shrunk(DEMO_PX), folder / "demo", folder / "classes.tif"
    command = segment_command(landscape(folder, side), BUNDLE, output, {"run.address": "inline"})
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (source,) = output.glob("rasters/*/classes.tif")
    with rasterio.open(source) as dataset:
        classes = mirrored(dataset.read(1), DEMO_TIMES)
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=len(classes), width=len(classes), dtype=np.uint8, crs="EPSG:32632",
        transform=TRANSFORM, nodata=255, tiled=True, blockxsize=TILE_PX, blockysize=TILE_PX, compress="zstd",
    ) as dataset:  # fmt: skip
        dataset.write(classes, 1)
    return path
