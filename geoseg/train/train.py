"""`geoseg train`: from labelled scenes to a bundle with its report."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn

from geoseg.errors import OutputError, SettingsError
from geoseg.evaluate.counts import count_pairs
from geoseg.evaluate.metrics import Metrics
from geoseg.evaluate.report import write_evaluation
from geoseg.train.checkpoint import Checkpoint, load_checkpoint
from geoseg.train.data.ground import VALIDATION
from geoseg.train.loop import OneWorker, Trainer
from geoseg.train.plan import TrainPlan, make_train_plan, pixel_size_m
from geoseg.train.progress import Progress
from geoseg.train.publish.bundle import CARD, TrainedModel, legend_of, write_trained_bundle
from geoseg.train.publish.calibrate import divide_logits, find_temperature
from geoseg.train.publish.held_out import evaluate_held_out
from geoseg.train.publish.pictures import EXAMPLES, Example, bands_to_show, draw_curves, draw_examples, known_share
from geoseg.train.publish.report import Outcome, as_json, model_card, write_json, write_split
from geoseg.train.start import start_network
from geoseg.train.worker import CHECKPOINT, make_trainer, train_network, validation_metrics
from geoseg.train_settings import TrainSettings

BUNDLE, REPORT, EVALUATION, RESULTS = "bundle", "report.json", "evaluation", "results"
"""Files and folders of an output."""


def train(settings: TrainSettings, console: Console | None = None) -> Outcome:
    """Train a network on labelled scenes, and publish it as a bundle with its report.

    Calling this again goes on from the last checkpoint; a finished training is only reported again.

    Args:
        settings: See `TrainSettings`.
        console: Shows the progress; default: none.

    Returns:
        What came out; also in ``<output>/report.json`` and the model card ``<output>/bundle/README.md``.

    Raises:
        SettingsError: If nothing can be trained with these settings.
        SceneError: If a scene or its labels cannot be read.
        OutputError: If the output cannot be written.
    """
    begun, console = perf_counter(), console or Console(quiet=True)
    folder = _prepare(settings)
    plan = make_train_plan(settings, console)
    _, arguments, start = start_network(settings, len(plan.bands))
    progress = Progress(console, plan, start)
    if load_checkpoint(folder / CHECKPOINT, plan.digest) is not None:
        console.print(f"going on from {folder / CHECKPOINT}", highlight=False)
    with progress:
        if settings.run.address == "inline":
            train_network(plan, folder, OneWorker(), progress.epoch, progress.step)
        else:
            from geoseg.train.ray_train import train_on_ray  # noqa: PLC0415  loads Ray

            train_on_ray(plan, folder, progress.epoch)
    return _publish(plan, folder, arguments, start, begun, console)


def _prepare(settings: TrainSettings) -> Path:
    folder = Path(settings.output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if settings.overwrite:
            (folder / CHECKPOINT).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror or error}. Give another output.") from error
    return folder


def _publish(
    plan: TrainPlan, folder: Path, arguments: Mapping[str, Any], start: str, begun: float, console: Console
) -> Outcome:
    """Calibrate the best network, write the bundle, test it, and write the report."""
    settings, legend = plan.settings, legend_of(plan.settings)
    checkpoint = load_checkpoint(folder / CHECKPOINT, plan.digest)
    if checkpoint is None:
        raise OutputError(f"{folder / CHECKPOINT} is gone. Run the same command again.")
    trainer = _best(plan, checkpoint)
    network = trainer.published
    best = max(checkpoint.history, key=lambda entry: entry["mean_iou"])
    places = plan.validation_places()
    temperature = find_temperature(trainer.predict(plan.windows(VALIDATION), places), len(places))
    validation, examples = _validate(plan, trainer)
    outcome = Outcome(
        start=start,
        parameters=sum(one.numel() for one in network.parameters()),
        history=checkpoint.history,
        best_epoch=int(best["epoch"]),
        validation=validation,
        temperature=temperature,
        divided=divide_logits(network, temperature, _example(plan, network)),
        test=None,
        seconds=perf_counter() - begun,
    )
    model = TrainedModel(
        name=settings.name or folder.resolve().name,
        bands=plan.bands,
        arguments=arguments,
        mean=plan.mean,
        deviation=plan.deviation,
        pixel_m=pixel_size_m(settings, plan.scenes[0].scene),
        size_multiple=int(network.size_multiple),  # type: ignore[arg-type]
    )
    bundle, evaluation = folder / BUNDLE, folder / EVALUATION
    card = model_card(outcome, settings, plan.sites, plan.scenes)
    write_trained_bundle(bundle, network, model, settings, card)
    test = evaluate_held_out(bundle, plan.scenes, plan.sites, settings, evaluation / RESULTS, console)
    outcome = replace(outcome, test=test, seconds=perf_counter() - begun)
    try:
        (bundle / CARD).write_text(model_card(outcome, settings, plan.sites, plan.scenes), "utf-8")
        if test is not None:
            write_evaluation(test, evaluation)
        write_json(as_json(outcome, settings, plan.sites, plan.scenes), folder / REPORT)
        write_split(plan.sites, folder / "split.gpkg")
        draw_curves(checkpoint.history, folder / "curves.png")
        draw_examples(examples, bands_to_show(plan.bands), legend, folder / "examples.png")
    except OSError as error:
        raise OutputError(f"{error.filename or folder} cannot be written: {error.strerror or error}.") from error
    return outcome


def _best(plan: TrainPlan, checkpoint: Checkpoint) -> Trainer:
    """A trainer with the weights of the best epoch."""
    trainer = make_trainer(plan, OneWorker())
    trainer.published.load_state_dict(checkpoint.best)
    return trainer


def _validate(plan: TrainPlan, trainer: Trainer) -> tuple[Metrics, list[Example]]:
    """Metrics of the published network, and the windows with the most labels as examples."""
    source, places, classes = plan.windows(VALIDATION), plan.validation_places(), len(plan.settings.classes)
    confusion = np.zeros((classes, classes), np.int64)
    found: list[tuple[float, int]] = []
    for labels, logits in trainer.predict(source, places):
        confusion += count_pairs(labels, logits.argmax(1).cpu().numpy(), classes)
        found += [(-known_share(one), len(found) + place) for place, one in enumerate(labels)]
    metrics = validation_metrics(confusion, plan.settings.names)
    if metrics is None:
        raise SettingsError("No pixel of the validation ground could be compared. Raise data.max_validation_windows.")
    chosen = [places[place] for _, place in sorted(found)[:EXAMPLES]]
    examples = []
    for place, (labels, logits) in zip(chosen, trainer.predict(source, chosen, 1), strict=True):
        classes_of = logits[0].argmax(0).cpu().numpy().astype(np.uint8)
        examples.append((source.read(place).pixels, labels[0], classes_of))
    return metrics, examples


def _example(plan: TrainPlan, network: nn.Module) -> Tensor:
    """Random pixels with which a change of the weights is checked."""
    side, device = plan.settings.data.patch_px, next(network.parameters()).device
    return torch.randn((1, len(plan.bands), side, side), generator=torch.Generator().manual_seed(0)).to(device)
