"""What one worker does: train epoch after epoch, from the last checkpoint on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from geoseg.evaluate.counts import Counts
from geoseg.evaluate.metrics import Metrics, compute_metrics
from geoseg.model.hardware import find_hardware
from geoseg.train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from geoseg.train.data.ground import TRAINING, VALIDATION
from geoseg.train.loop import EpochResult, Trainer, Workers
from geoseg.train.losses import class_weights, make_loss
from geoseg.train.plan import TrainPlan
from geoseg.train.publish.report import split_counts
from geoseg.train.start import start_network

CHECKPOINT = "checkpoint.pt"

OnEpoch = Callable[[dict[str, float]], None]
"""Is told the metrics of each finished epoch."""
OnStep = Callable[[int, int, float], None]
"""Is told the epoch, the finished steps in it and the loss."""


def make_trainer(plan: TrainPlan, workers: Workers) -> Trainer:
    """Build the network and all that trains it.

    Raises:
        SettingsError: If the architecture, the weights to start from or a loss do not fit.
    """
    settings, device = plan.settings, workers.device(plan.settings.run.device)
    network, _, _ = start_network(settings, len(plan.bands))
    counts = split_counts(plan.sites, settings.names)["training"]
    weights = class_weights(settings.loss, counts)
    tensor = None if weights is None else torch.tensor(weights, dtype=torch.float32, device=device)
    precision = settings.run.precision
    bf16 = find_hardware(device.type).bf16 if precision == "auto" else precision == "bf16"
    loss_of = make_loss(settings.loss, tensor)
    return Trainer(network, settings, plan.scaling, loss_of, device, workers, bf16=bf16)


def train_network(plan: TrainPlan, folder: Path, workers: Workers, on_epoch: OnEpoch, on_step: OnStep) -> Trainer:
    """Train all epochs that are not done yet. The first worker writes a checkpoint after each.

    Args:
        plan: The training.
        folder: Folder of the checkpoint, which all workers see.
        workers: The workers.
        on_epoch: Called in every worker.
        on_step: Called in every worker.

    Returns:
        The trainer with the weights of the last epoch.

    Raises:
        SettingsError: If the checkpoint is of another training, or the loss is not finite.
        OutputError: If a checkpoint cannot be written.
    """
    settings = plan.settings
    fix_training(settings.run.threads)
    trainer = make_trainer(plan, workers)
    checkpoint = load_checkpoint(folder / CHECKPOINT, plan.digest)
    history: list[dict[str, float]] = []
    best: dict[str, Any] = {}
    if checkpoint is not None:
        restore(trainer, checkpoint)
        history, best = list(checkpoint.history), checkpoint.best
    places = plan.validation_places()
    for epoch in range(len(history), settings.run.epochs):
        if is_finished(history, settings.run.patience):
            break
        result = trainer.run_epoch(
            epoch,
            plan.windows(TRAINING),
            plan.windows(VALIDATION),
            places,
            lambda step, loss, epoch=epoch: on_step(epoch, step, loss),  # type: ignore[misc]
        )
        metrics = epoch_metrics(result, settings.names)
        if not history or metrics["mean_iou"] > max(entry["mean_iou"] for entry in history):
            best = {name: tensor.detach().cpu().clone() for name, tensor in trainer.published.state_dict().items()}
        history.append(metrics)
        if workers.rank == 0:
            save_checkpoint(_state(trainer, plan.digest, history, best), folder / CHECKPOINT)
        on_epoch(metrics)
    return trainer


def is_finished(history: list[dict[str, float]], patience: int | None) -> bool:
    """Whether the last ``patience`` epochs were no better than one before."""
    if patience is None or len(history) <= patience:
        return False
    scores = [entry["mean_iou"] for entry in history]
    return max(scores[-patience:]) <= max(scores[:-patience])


def epoch_metrics(result: EpochResult, names: tuple[str, ...]) -> dict[str, float]:
    """Metrics of an epoch as plain numbers; mIoU and accuracy are 0 where no pixel was compared."""
    validation = validation_metrics(result.confusion, names)
    return {
        "epoch": float(result.epoch),
        "loss": result.loss,
        "mean_iou": 0.0 if validation is None else validation.mean_iou,
        "accuracy": 0.0 if validation is None else validation.pixel_accuracy,
        "learning_rate": result.learning_rate,
        "seconds": result.seconds,
        "waited_share": result.waited_share,
    }


def validation_metrics(confusion: np.ndarray[Any, np.dtype[np.int64]], names: tuple[str, ...]) -> Metrics | None:
    """Metrics of a confusion matrix; None if it is empty."""
    counts = Counts.zero(len(names))
    counts.confusion[:] = confusion
    return compute_metrics(counts, names) if confusion.any() else None


def restore(trainer: Trainer, checkpoint: Checkpoint) -> None:
    """Put the state of a checkpoint into a trainer."""
    trainer.network.load_state_dict(checkpoint.network)
    trainer.optimizer.load_state_dict(checkpoint.optimizer)
    if trainer.average is not None and checkpoint.average is not None:
        trainer.average.load_state_dict(checkpoint.average)


def fix_training(threads: int | str) -> None:
    """Set torch's process-wide options, so that the same machine gives the same weights twice."""
    if isinstance(threads, int):
        torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def _state(trainer: Trainer, digest: str, history: list[dict[str, float]], best: dict[str, Any]) -> Checkpoint:
    return Checkpoint(
        settings=digest,
        epoch=len(history),
        history=history,
        best=best,
        network=trainer.network.state_dict(),
        average=None if trainer.average is None else trainer.average.state_dict(),
        optimizer=trainer.optimizer.state_dict(),
    )
