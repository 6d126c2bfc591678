"""Benefit and cost of the options at inference: ``python -m tests.benchmarks.inference_options``.

The demo's model on a landscape that it was not trained on, and with ``--hard`` on the same landscape with noise;
compared with the truth by `geoseg evaluate`. Seconds are those of the whole run, in fp32 on every machine; each run
follows one with the default, so that their ratio holds on a machine whose speed varies.
"""

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
import rasterio
from rich.console import Console
from rich.table import Table

from geoseg.config import Settings
from geoseg.demo.command import BUNDLE
from geoseg.demo.landscape import write_landscape
from geoseg.evaluate.evaluate import evaluate
from geoseg.run.segment import segment

SIZE, SEED = 768, 7
RUN = {"address": "inline", "precision": "fp32"}
ROUNDS = 3
NOISE = 0.08
"""Standard deviation of the noise, relative to that of each band."""
OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "flips": {"inference": {"augment": "flips"}},
    "flips and turns": {"inference": {"augment": "flips-and-turns"}},
    "temperature 1.5": {"inference": {"temperature": 1.5}},
    "scales 1, 0.5": {"inference": {"scales": (1.0, 0.5)}},
    "scales 1, 1.5": {"inference": {"scales": (1.0, 1.5)}},
    "crf": {"inference": {"crf": "convolutional"}},
    "smoothing 2 px": {"inference": {"smoothing_radius_px": 2}},
    "smoothing 5 px": {"inference": {"smoothing_radius_px": 5}},
    "all rasters": {"rasters": {"publish": ("confidence", "probabilities", "margin", "entropy")}},
}


def main() -> None:
    """Run each option and print mIoU, accuracy, calibration error, seconds, and seconds relative to the default."""
    table = Table("option", "mIoU", "accuracy", "ECE", "seconds", "times default", box=None)
    with TemporaryDirectory() as folder:
        scene, truth = Path(folder, "landscape.tif"), Path(folder, "truth.tif")
        write_landscape(scene, truth, size=SIZE, seed=SEED)
        if "--hard" in sys.argv:
            _add_noise(scene)
        _run(scene, Path(folder, "warm-up"), {})
        for name, options in OPTIONS.items():
            output = Path(folder, name.replace(" ", "-"))
            pairs = [(_run(scene, output, {}), _run(scene, output, options)) for _ in range(ROUNDS)]
            found = evaluate([output], [truth]).metrics
            figures = found.mean_iou, found.pixel_accuracy, found.expected_calibration_error
            seconds, ratio = median(own for _, own in pairs), median(own / default for default, own in pairs)
            table.add_row(name, *(f"{value:.4f}" for value in figures), f"{seconds:.1f}", f"{ratio:.1f}")
    Console().print(table)


def _run(scene: Path, output: Path, options: Mapping[str, Any]) -> float:
    """Segment the scene from the beginning; returns seconds."""
    shutil.rmtree(output, ignore_errors=True)
    settings = Settings(scenes=(str(scene),), model=str(BUNDLE), output=str(output), run=RUN, **dict(options))
    started = perf_counter()
    report = segment(settings, Console(quiet=True))
    if report.failed:
        sys.exit(report.failed[0]["error"])
    return perf_counter() - started


def _add_noise(scene: Path) -> None:
    with rasterio.open(scene, "r+") as dataset:
        pixels = dataset.read().astype(np.float64)
        spread = pixels.std((1, 2), keepdims=True) * NOISE
        noisy = np.rint(pixels + np.random.default_rng(0).normal(size=pixels.shape) * spread)
        limits = np.iinfo(dataset.dtypes[0])
        dataset.write(np.where(pixels > 0, noisy.clip(1, limits.max), 0).astype(dataset.dtypes[0]))


if __name__ == "__main__":
    main()
