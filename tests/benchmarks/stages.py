"""Where the time of a run goes: CPU seconds of each stage, and how busy the cores are."""

import os
from collections.abc import Iterator
from pathlib import Path

from geoseg.demo.command import BUNDLE
from tests.benchmarks.commands import read_report, segment_command, warm_up, window_of
from tests.benchmarks.cpu_times import is_own, watch_cpu
from tests.benchmarks.figure import Figure
from tests.benchmarks.scenes import landscape, shrunk

SIDE_PX = 8192
LEAST_BUSY = 0.9
SETTINGS = {"run.address": "local", "run.device": "cpu", "run.threads": 1}
BLOCK_STAGES = ("read", "predict", "finish", "trace")


def run(folder: Path) -> Iterator[Figure]:
    """Segment a landscape with the demo's small network on a Ray of its own, one worker for each core."""
    warm_up(folder)
    side, cores = shrunk(SIDE_PX), len(os.sched_getaffinity(0))
    output = folder / "out"
    command = segment_command(landscape(folder, side), BUNDLE, output, {**SETTINGS, "run.workers": cores})
    times = watch_cpu(command, folder / "segment.log")
    report = read_report(output)
    taken = times.between(*window_of(report))
    there_s, there = cores * report["seconds"], f"what {cores} cores have"

    def share(what: str, cpu_s: float, least: float | None = None) -> Figure:
        return Figure("stages", what, cpu_s, "CPU s", there_s, there, least=least)

    yield Figure("stages", f"{side} x {side} px, first block to last polygon", report["seconds"], "s")
    yield Figure("stages", "  valid pixels", report["px_per_s"] / 1e6, "Mpx/s")
    yield share("  CPU time of its processes and Ray's", taken.total(), LEAST_BUSY)
    yield share("  driver and actors", sum(s for kind, s in taken.items() if is_own(kind)))
    yield share("  driver", sum(s for kind, s in taken.items() if kind == "driver"))
    yield share("  units of work", sum(stage["cpu_seconds"] for stage in report["stages"].values()))
    for name, stage in report["stages"].items():
        yield share(f"    {name}", stage["cpu_seconds"])
    # A block without a patch of its own is not predicted, so a stage may have fewer; more would be work done twice.
    units = max(report["stages"][name]["units"] for name in BLOCK_STAGES)
    blocks = report["scenes"][0]["blocks"]
    yield Figure("stages", "  most units of a stage of blocks", units, "", blocks, "blocks", limit=1)
