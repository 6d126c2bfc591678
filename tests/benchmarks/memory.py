"""Peak memory of a whole run, Ray included: it must not grow with the scene."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks.commands import read_report, segment_command
from tests.benchmarks.figure import Figure
from tests.benchmarks.processes import OBJECT_STORE, Usage, measure
from tests.benchmarks.scenes import repeating, shrunk
from tests.support.bundles import constant_bundle

SIDES_PX = (4096, 16384)
# One block size for both scenes; auto would give the smaller scene smaller blocks.
SETTINGS = {"run.address": "local", "run.workers": 2, "tiling.block_px": 960}
MOST_GROWTH = 1.2
MIB = 2**20


def run(folder: Path) -> Iterator[Figure]:
    """Segment a small and a large scene with a model that costs nothing."""
    bundle = constant_bundle(folder / "bundle", 4, 5, patch_px=256, overlap_px=64)
    baseline: Usage | None = None
    for side in map(shrunk, SIDES_PX):
        scene = repeating(folder, side)
        usage, report = _segment(scene, bundle, folder / f"out{side}")
        name = f"{side} x {side}"
        yield Figure(
            "memory", f"peak of all processes, {name}", usage.peak_bytes / MIB, "MiB",
            *((baseline.peak_bytes / MIB, "the smaller scene", MOST_GROWTH) if baseline else ()),
        )  # fmt: skip
        for kind in sorted(usage.at_peak, key=usage.at_peak.__getitem__, reverse=True):
            before = baseline.at_peak.get(kind, 0) / MIB if baseline else None
            yield Figure("memory", f"  of which {kind}", usage.at_peak[kind] / MIB, "MiB", before, "the smaller scene")
        yield Figure("memory", "most processes at a time", usage.processes, "")
        yield Figure("memory", "time between samples", 1000 * usage.seconds / usage.samples, "ms")
        yield Figure("memory", f"wall time with Ray's start, {name}", usage.seconds, "s")
        yield Figure("memory", f"blocks to commit, {name}", report["seconds"], "s")
        yield Figure("memory", f"valid pixels, {name}", report["px_per_s"] / 1e6, "Mpx/s")
        baseline = baseline or usage


def _segment(scene: Path, bundle: Path, output: Path) -> tuple[Usage, dict[str, Any]]:
    usage = measure(segment_command(scene, bundle, output, SETTINGS), output.with_suffix(".log"))
    if not usage.peaks[OBJECT_STORE]:
        raise RuntimeError("Ray's object store was not seen, so the peak is too low. Run the benchmark again.")
    return usage, read_report(output)
