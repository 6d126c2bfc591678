"""Does it pay to label where the model is uncertain? ``python -m tests.benchmarks.labelling [SEED ...]``.

The loop of configs/TRAINING.md on a synthetic landscape, with the truth in the place of the person who corrects:
segment, sample windows, correct, merge, train, evaluate on another landscape. Beside it the same loop with windows
drawn at random. Both begin with the same few windows, in which all classes occur; each training starts anew.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import geopandas
import rasterio
from rich.console import Console
from rich.table import Table

from geoseg.config import Settings
from geoseg.demo.command import BUNDLE as DEMO_BUNDLE
from geoseg.demo.landscape import BANDS, LEGEND, write_landscape
from geoseg.errors import SettingsError
from geoseg.evaluate.evaluate import evaluate
from geoseg.grid.legend import NODATA_CLASS
from geoseg.labels.label_file import read_label_file, write_label_file
from geoseg.labels.merge import merge_labels
from geoseg.labels.sample import Sampling, sample_labels
from geoseg.labels.uncertainty import Measure
from geoseg.polygonizer.array import polygonize
from geoseg.run.segment import segment
from geoseg.train.train import BUNDLE, train
from geoseg.train_settings import TrainSettings


@dataclass(frozen=True)
class Loop:
    """Sizes of an experiment."""

    size_px: int = 2048
    window_px: int = 64
    first_windows: int = 24
    windows: int = 50
    """Windows of a round."""
    rounds: int = 3
    steps: int = 300
    """Steps of a training."""


def compare(folder: Path, loop: Loop, seed: int) -> dict[Measure, list[float]]:
    """Run both loops.

    Args:
        folder: For all files.
        loop: Sizes.
        seed: Of landscapes, random windows and trainings.

    Returns:
        The mIoU on the other landscape by `Measure`: of the first model, and after each round.
    """
    scene, truth = folder / "scene.tif", folder / "truth.tif"
    write_landscape(scene, truth, size=loop.size_px, seed=seed)
    write_landscape(folder / "other.tif", folder / "other_truth.tif", size=loop.size_px // 2, seed=seed + 1000)
    _segment(scene, DEMO_BUNDLE, folder / "any")  # a training needs some windows of each class to begin with
    first = folder / "first.gpkg"
    sample_labels(folder / "any", first, Sampling(loop.first_windows, loop.window_px))
    correct(first, truth)
    return {measure: _run(folder, first, measure, loop, seed) for measure in (Measure.MARGIN, Measure.RANDOM)}


def correct(path: Path, truth: Path) -> None:
    """Do what a person does in QGIS: give each window of a label file its true polygons, and mark it as done."""
    file = read_label_file(path)
    frames = []
    with rasterio.open(truth) as dataset:
        for key, outline in zip(file.windows["window"], file.windows.geometry, strict=True):
            window = rasterio.windows.from_bounds(*outline.bounds, dataset.transform).round_offsets().round_lengths()
            found = polygonize(
                dataset.read(1, window=window), transform=dataset.window_transform(window), crs=dataset.crs,
                nodata=NODATA_CLASS, simplify_px=0,
            )  # fmt: skip
            names = [LEGEND.names[value] for value in found["value"]]
            frames.append(found[["geometry"]].assign(window=key, class_name=names))
    labels = geopandas.GeoDataFrame(geopandas.pd.concat(frames, ignore_index=True), crs=file.labels.crs)
    write_label_file(path, labels, file.windows.assign(done=True), LEGEND, overwrite=True)


def _run(folder: Path, first: Path, measure: Measure, loop: Loop, seed: int) -> list[float]:
    files, figures = [first], []
    for number in range(loop.rounds + 1):
        place = folder / f"{measure}{number}"
        place.mkdir()
        merge_labels(files, place / "labels.gpkg", LEGEND.names)
        train(_training(folder / "scene.tif", place / "labels.gpkg", place / "trained", loop, seed))
        _segment(folder / "other.tif", place / "trained" / BUNDLE, place / "test")
        figures.append(evaluate([place / "test"], [folder / "other_truth.tif"]).metrics.mean_iou)
        if number < loop.rounds:
            _segment(folder / "scene.tif", place / "trained" / BUNDLE, place / "results")
            files.append(place / "round.gpkg")
            sample_labels(
                place / "results", files[-1],
                Sampling(loop.windows, loop.window_px, measure, labelled=tuple(files[:-1]), seed=seed + number + 1),
            )  # fmt: skip
            correct(files[-1], folder / "truth.tif")
    return figures


def _training(scene: Path, labels: Path, output: Path, loop: Loop, seed: int) -> TrainSettings:
    content: dict[str, Any] = {
        "scenes": [str(scene)],
        "labels": [str(labels)],
        "classes": [{"name": name} for name in LEGEND.names],
        "output": str(output),
        "bands": BANDS,
        "network": {"architecture": "unet", "arguments": {"width": 12, "depth": 3}},
        "split": {"cell_px": loop.window_px, "guard_px": 0, "validation_share": 0.1, "test_share": 0},
        "data": {"patch_px": loop.window_px},
        "optimizer": {"learning_rate": 3e-3, "ema_decay": 0.95},
        "run": {"epochs": 3, "steps_per_epoch": loop.steps // 3, "batch_size": 8, "seed": seed, "precision": "fp32"},
    }
    return TrainSettings.model_validate(content)


def _segment(scene: Path, bundle: Path, output: Path) -> None:
    settings = Settings.model_validate(
        {
            "scenes": [str(scene)],
            "model": str(bundle),
            "output": str(output),
            "run": {"address": "inline", "workers": 2, "precision": "fp32"},
            "rasters": {"publish": "confidence,margin"},
        }
    )
    if failed := segment(settings).failed:
        raise SettingsError(failed[0]["error"])


def main(seeds: list[int]) -> None:
    """Print the mIoU of each loop and seed."""
    loop = Loop()
    steps = [f"{loop.first_windows + loop.windows * number} windows" for number in range(loop.rounds + 1)]
    table = Table("seed", "windows chosen by", *steps, box=None)
    for seed in seeds:
        with TemporaryDirectory() as folder:
            for measure, figures in compare(Path(folder), loop, seed).items():
                table.add_row(str(seed), measure, *(f"{figure:.4f}" for figure in figures))
    Console(width=120).print(table)


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [0])
