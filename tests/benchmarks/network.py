"""Time of a run, from the first block to the last polygon, compared with the bare forward passes."""

import subprocess
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import mean, median
from time import monotonic, process_time
from typing import NamedTuple

import rasterio.shutil
import torch

from geoseg.model.bundle.bundle import read_bundle
from geoseg.model.inference import Inference, Precision
from geoseg.model.load import start_predictor
from tests.benchmarks.commands import read_report, segment_command, warm_up
from tests.benchmarks.figure import Figure
from tests.benchmarks.scenes import landscape, shrunk
from tests.benchmarks.wide_network import write_wide_bundle

SIDE_PX = 4096
WORKERS = 2
SETTINGS = {"run.address": "local", "run.device": "cpu", "run.workers": WORKERS, "run.threads": 1}
ROUNDS = 5
MOST = 1.15
START_TIMEOUT_S = 120

_together: Barrier


class Taken(NamedTuple):
    """Measured time."""

    seconds: float
    cpu_s: float


def run(folder: Path) -> Iterator[Figure]:
    """Segment a landscape with two workers of one thread each, and run as many patches through the bare network."""
    warm_up(folder)
    side = shrunk(SIDE_PX)
    scene, bundle = folder / "scene.tif", write_wide_bundle(folder / "bundle")
    rasterio.shutil.copy(landscape(folder, side), scene, driver="COG", compress="zstd", predictor="yes")
    yield from _in("fp32", scene, bundle, folder)
    yield from _in("bf16", scene, bundle, folder)


def _in(precision: Precision, scene: Path, bundle: Path, folder: Path) -> Iterator[Figure]:
    runs, bare, settings = [], list[Taken](), {**SETTINGS, "run.precision": precision}
    for number in range(ROUNDS + 1):
        output = folder / f"{precision}{number}"
        subprocess.run(segment_command(scene, bundle, output, settings), check=True, stdout=subprocess.DEVNULL)
        report = read_report(output)
        runs.append(Taken(report["seconds"], sum(stage["cpu_seconds"] for stage in report["stages"].values())))
        if number < ROUNDS:
            bare.append(bare_network(bundle, report["patches"], precision))
    side = shrunk(SIDE_PX)
    yield compared(f"{side} x {side} px in {precision}, first block to last polygon", runs, bare, "seconds", MOST)
    yield compared("  CPU seconds of its units", runs, bare, "cpu_s")
    yield Figure("network", "  patches", report["patches"], "")
    yield Figure("network", "  valid pixels", report["px_per_s"] / 1e6, "Mpx/s")
    yield Figure("network", "  part of the workers' time in the network", 100 * report["device_share"], "%")


def compared(what: str, runs: list[Taken], bare: list[Taken], field: str, limit: float | None = None) -> Figure:
    """The bare network with the median ratio to it of the mean of the runs just before and after it.

    So a machine that grows slower or quicker meanwhile tells neither for nor against it.
    """
    pairs = [
        (mean(getattr(run, field) for run in around), getattr(theirs, field))
        for around, theirs in zip(pairwise(runs), bare, strict=True)
    ]
    middle = median(ours / theirs for ours, theirs in pairs)
    ours, theirs = min(pairs, key=lambda pair: abs(pair[0] / pair[1] - middle))
    return Figure("network", what, ours, "s", theirs, f"{WORKERS} bare networks on as many patches", limit)


def bare_network(bundle: Path, patches: int, precision: Precision) -> Taken:
    """Run patches through the network that a run would load, batched and threaded alike, in as many processes."""
    shares = [patches // WORKERS + (number < patches % WORKERS) for number in range(WORKERS)]
    context = get_context("spawn")
    with ProcessPoolExecutor(WORKERS, context, _meet, (context.Barrier(WORKERS),)) as pool:
        started, ended, cpu_s = zip(*pool.map(_forward, [bundle] * WORKERS, shares, [precision] * WORKERS), strict=True)
    return Taken(max(ended) - min(started), sum(cpu_s))


def _meet(barrier: Barrier) -> None:
    global _together  # noqa: PLW0603  a barrier can only be handed to a process at its birth
    _together = barrier


def _forward(path: Path, patches: int, precision: Precision) -> tuple[float, float, float]:
    """Begin and end of the forward passes, on a clock that all processes share, and their CPU seconds."""
    bundle = read_bundle(str(path))
    predictor = start_predictor(bundle, Inference("cpu", bundle.patch_px, precision=precision))
    network, size = predictor._network, predictor.task.batch_size
    batch = torch.randn((size, len(bundle.bands), bundle.patch_px, bundle.patch_px)).to(network.dtype)
    batch = batch.contiguous(memory_format=torch.channels_last)
    network(batch)
    _together.wait(START_TIMEOUT_S)
    started, cpu_s = monotonic(), process_time()
    for _ in range(-(-patches // size)):
        network(batch)
    return started, monotonic(), process_time() - cpu_s
