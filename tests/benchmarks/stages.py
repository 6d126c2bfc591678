"""Where the time of a run goes, and what the pipeline adds to the forward pass."""

from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import torch

from geoseg.demo.landscape import write_landscape
from geoseg.demo.show import BUNDLE
from geoseg.model.bundle import read_bundle
from geoseg.model.network import load_network
from tests.benchmarks.figure import Figure
from tests.support.scenes import run as segment_inline

SIDE_PX = 2048


def run(folder: Path) -> Iterator[Figure]:
    """Segment the landscape of `geoseg demo` in this process, on one CPU thread."""
    scene = folder / "landscape.tif"
    write_landscape(scene, folder / "truth.tif", size=SIDE_PX)
    report = segment_inline(
        scene, BUNDLE, folder / "out", run={"address": "inline", "device": "cpu", "threads": 1, "batch_size": 1}
    )
    forward_s = seconds_in_network(report.patches)
    yield Figure(
        "stages", f"{SIDE_PX} x {SIDE_PX}, {report.patches} patches, blocks to commit", report.seconds, "s",
        forward_s, "the network alone on as many patches",
    )  # fmt: skip
    for name, sums in report.stages.items():
        yield Figure("stages", f"  {name}, {sums['units']:.0f} units", sums["seconds"], "s", forward_s, "network alone")
    yield Figure("stages", "  in the network, of predict", report.forward_s, "s", forward_s, "network alone")
    yield Figure("stages", "valid pixels", report.px_per_s / 1e6, "Mpx/s")


def seconds_in_network(patches: int) -> float:
    """Time the forward pass of the demo's bundle on random patches, one at a time."""
    bundle = read_bundle(BUNDLE)
    network = load_network(bundle, torch.device("cpu"), 1)
    torch.set_num_threads(1)
    batch = torch.randn((1, len(bundle.bands), bundle.patch_px, bundle.patch_px))
    network(batch)
    started = perf_counter()
    for _ in range(patches):
        network(batch)
    return perf_counter() - started
