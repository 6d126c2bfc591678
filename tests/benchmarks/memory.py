"""Peak memory of a whole run, Ray included: it must not grow with the scene."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window

from tests.benchmarks.figure import Figure
from tests.benchmarks.processes import OBJECT_STORE, Usage, measure
from tests.support.bundles import write_bundle
from tests.support.scenes import TRANSFORM

SIDES_PX = (4096, 16384)
TILE_PX = 512
# One block size for both scenes; auto would give the smaller scene smaller blocks.
SETTINGS = {"run.workers": 2, "tiling.patch_px": 256, "tiling.overlap_px": 64, "tiling.block_px": 960}
MOST_GROWTH = 1.2
MIB = 2**20


def run(folder: Path) -> Iterator[Figure]:
    """Segment a small and a large scene with a model that costs nothing."""
    bundle = write_bundle(folder / "bundle", "constant", bands=4, classes=5, patch_px=256, overlap_px=64)
    baseline: Usage | None = None
    for side in SIDES_PX:
        scene = write_repeating(folder / f"scene{side}.tif", side)
        usage, report = _segment(scene, bundle, folder / f"out{side}")
        name = f"{side} x {side}"
        yield Figure(
            "memory", f"peak of all processes, {name}", usage.peak_bytes / MIB, "MiB",
            *((baseline.peak_bytes / MIB, f"{SIDES_PX[0]} x {SIDES_PX[0]}", MOST_GROWTH) if baseline else ()),
        )  # fmt: skip
        for kind in sorted(usage.at_peak, key=usage.at_peak.__getitem__, reverse=True):
            before = baseline.at_peak.get(kind, 0) / MIB if baseline else None
            yield Figure("memory", f"  of which {kind}", usage.at_peak[kind] / MIB, "MiB", before, "smaller scene")
        yield Figure("memory", "most processes at a time", usage.processes, "")
        yield Figure("memory", "time between samples", 1000 * usage.seconds / usage.samples, "ms")
        yield Figure("memory", f"wall time with Ray's start, {name}", usage.seconds, "s")
        yield Figure("memory", f"blocks to commit, {name}", report["seconds"], "s")
        yield Figure("memory", f"valid pixels, {name}", report["px_per_s"] / 1e6, "Mpx/s")
        baseline = baseline or usage


def write_repeating(path: Path, side: int) -> Path:
    """A scene without a hole or a sparse tile that is cheap to make: one tile of noise, again and again."""
    tile = np.random.default_rng(0).integers(1, 4000, (4, TILE_PX, TILE_PX)).astype(np.uint16)
    with rasterio.open(
        path, "w", driver="GTiff", count=4, height=side, width=side, dtype="uint16", crs="EPSG:32632",
        transform=TRANSFORM, nodata=0, tiled=True, blockxsize=TILE_PX, blockysize=TILE_PX,
        compress="zstd", zstd_level=1, bigtiff="if_safer",
    ) as dataset:  # fmt: skip
        for row in range(0, side, TILE_PX):
            for col in range(0, side, TILE_PX):
                dataset.write(tile, window=Window(col, row, TILE_PX, TILE_PX))
    return path


def _segment(scene: Path, bundle: Path, output: Path) -> tuple[Usage, dict[str, float]]:
    command = [str(Path(sys.executable).with_name("geoseg")), "segment", str(scene)]
    command += ["--model", str(bundle), "--output", str(output), "--address", "local"]
    for key, value in SETTINGS.items():
        command += ["--set", f"{key}={value}"]
    usage = measure(command, output.with_suffix(".log"))
    if not usage.peaks[OBJECT_STORE]:
        raise RuntimeError("Ray's object store was not seen, so the peak is too low. Run the benchmark again.")
    (report,) = output.glob("runs/*/report.json")
    return usage, json.loads(report.read_text())
