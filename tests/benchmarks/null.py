"""Time of a run whose model costs nothing: the limit of the pipeline, and its slowest stage."""

import os
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.commands import read_report, segment_command, warm_up, window_of
from tests.benchmarks.cpu_times import is_own, watch_cpu
from tests.benchmarks.figure import Figure
from tests.benchmarks.processes import DRIVER
from tests.benchmarks.scenes import repeating, shrunk
from tests.support.bundles import constant_bundle

SIDE_PX = 16384
WORKERS = 2
SETTINGS = {"run.address": "local", "run.device": "cpu", "run.workers": WORKERS, "run.threads": 1}
GOAL_MPX_PER_S = 12.0


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
