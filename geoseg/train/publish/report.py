"""What a training tells: the model card, the report in JSON, the split as a map."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import shapely

from geoseg import __version__
from geoseg.evaluate.evaluate import Evaluation
from geoseg.evaluate.metrics import Metrics
from geoseg.evaluate.report import as_table, finite, number, summary
from geoseg.train.data.ground import SPLITS
from geoseg.train.data.labelled import LabelledScene
from geoseg.train.data.sites import Sites
from geoseg.train_settings import TrainSettings


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished training."""

    start: str
    """What the network began with."""
    parameters: int
    history: Sequence[Mapping[str, float]]
    best_epoch: int
    validation: Metrics
    """Of the best epoch, on single patches."""
    temperature: float
    divided: bool
    """The temperature is part of the weights."""
    test: Evaluation | None
    seconds: float


def split_counts(sites: Sites, names: Sequence[str]) -> dict[str, dict[str, int]]:
    """Labelled pixels at the sites by split and class."""
    totals = sites.pixels.sum(axis=0)
    return {split: dict(zip(names, map(int, row), strict=True)) for split, row in zip(SPLITS, totals, strict=True)}


def write_split(sites: Sites, path: Path) -> None:
    """Write the cells of ground with their split as a GeoPackage; nothing where scenes are split as a whole."""
    split = sites.split
    if not len(split.codes) or not split.cells.crs:
        return
    boxes = [shapely.box(*split.cells.bounds(code)) for code in split.codes.tolist()]
    owners = [SPLITS[owner] for owner in split.owners.tolist()]
    frame = geopandas.GeoDataFrame({"split": owners}, geometry=boxes, crs=split.cells.crs)
    path.unlink(missing_ok=True)
    frame.to_file(path, layer="split", driver="GPKG")


def as_json(outcome: Outcome, settings: TrainSettings, sites: Sites, scenes: Sequence[LabelledScene]) -> dict[str, Any]:
    """The report as values of JSON."""
    return {
        "geoseg": __version__,
        "settings": settings.model_dump(mode="json"),
        "scenes": [one.scene.path for one in scenes],
        "sites": len(sites.scenes),
        "labelled_pixels": split_counts(sites, settings.names),
        "start": outcome.start,
        "parameters": outcome.parameters,
        "history": list(outcome.history),
        "best_epoch": outcome.best_epoch,
        "validation": asdict(outcome.validation),
        "temperature": outcome.temperature,
        "test": None if outcome.test is None else asdict(outcome.test.metrics),
        "seconds": outcome.seconds,
    }


def model_card(outcome: Outcome, settings: TrainSettings, sites: Sites, scenes: Sequence[LabelledScene]) -> str:
    """The model card: data, split, figures and limits, as Markdown."""
    return "\n".join(_card(outcome, settings, sites, scenes)) + "\n"


def _card(outcome: Outcome, settings: TrainSettings, sites: Sites, scenes: Sequence[LabelledScene]) -> Iterator[str]:
    first, validation = scenes[0].scene, outcome.validation
    yield f"# {settings.name or Path(settings.output).name}\n"
    yield (
        f"{settings.network.architecture}, {outcome.parameters:,} parameters, trained by geoseg {__version__} from "
        f"{outcome.start}. Licence of the weights: {settings.license or 'not stated'}."
    )
    yield "\n## Data\n"
    yield (
        f"{len(scenes)} scenes such as {first.scene_id} ({first.grid.height} x {first.grid.width} pixels of "
        f"{first.dtypes[0]}). Labelled pixels at {len(sites.scenes):,} places:\n"
    )
    counts = split_counts(sites, settings.names)
    rows = [(name, *(f"{counts[split][name]:,}" for split in SPLITS)) for name in settings.names]
    yield from as_table(("class", *SPLITS), rows)
    yield f"\n{_split_sentence(settings, sites)}"
    yield "\n## Figures\n"
    yield (
        f"Best epoch {outcome.best_epoch} of {len(outcome.history)}; validation mIoU {number(validation.mean_iou)}, "
        f"pixel accuracy {number(validation.pixel_accuracy)}. {_temperature_sentence(outcome)}\n"
    )
    if outcome.test is None:
        yield "There is no ground for a test."
        return
    classes = outcome.test.metrics.classes
    yield "On the test ground, segmented as every run does:\n"
    yield from as_table(("metric", "value"), summary(outcome.test.metrics))
    yield ""
    yield from as_table(
        ("class", "IoU", "precision", "recall"),
        [(one.name, *map(number, (one.iou, one.precision, one.recall))) for one in classes],
    )
    yield "\n## Limits\n"
    yield f"The figures hold for ground like that of the test: the same sensor, season and region. {_weak(classes)}"


def _split_sentence(settings: TrainSettings, sites: Sites) -> str:
    split = settings.split
    if sites.split.scenes and not len(sites.split.codes):
        return "Whole scenes are held out for validation and test."
    owners = np.bincount(sites.split.owners, minlength=3).tolist()
    held = ", ".join(f"{number} for {name}" for name, number in zip(SPLITS, owners, strict=True))
    return (
        f"The ground is split by cells of {split.cell_px} pixels ({held}); training labels within {split.guard_px} "
        "pixels of held-out ground are not used. See split.gpkg."
    )


def _temperature_sentence(outcome: Outcome) -> str:
    if outcome.divided:
        return (
            f"The logits are divided by {outcome.temperature:g}, found on the validation ground (part of the weights)."
        )
    return f"Set inference.temperature={outcome.temperature:g}, found on the validation ground, for a true confidence."


def _weak(classes: Sequence[Any]) -> str:
    weak = [one.name for one in classes if one.iou < 0.5]
    return f"Classes with an IoU below 0.5: {', '.join(weak)}." if weak else ""


def write_json(content: dict[str, Any], path: Path) -> None:
    """Write values as JSON, with null for NaN."""
    path.write_text(json.dumps(finite(content), indent=2) + "\n", "utf-8")
