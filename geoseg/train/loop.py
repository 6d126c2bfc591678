"""The training loop. It knows nothing of Ray: what workers share goes through `Workers`."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from geoseg.errors import SettingsError
from geoseg.evaluate.counts import count_pairs
from geoseg.grid.legend import NODATA_CLASS
from geoseg.model.bundle.scaling import Step
from geoseg.model.device import open_device
from geoseg.model.scale import scale_pixels
from geoseg.train.augment import make_augment
from geoseg.train.data.windows import Batch, BatchReader, Place, WindowSource
from geoseg.train.losses import LossOf
from geoseg.train.optimizer import clip, make_average, make_optimizer, set_learning_rate
from geoseg.train_settings import TrainSettings


class Workers(Protocol):
    """The workers of one training."""

    rank: int
    """Number of this worker, from 0."""
    size: int
    """Number of workers."""

    def device(self, wanted: str) -> torch.device:
        """The device of this worker, for auto, cpu or cuda."""

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network whose gradients are the mean over the workers."""

    def total(self, values: Tensor) -> Tensor:
        """Sum of tensors of the same shape over the workers."""


class OneWorker:
    """A training in this process."""

    rank, size = 0, 1

    def device(self, wanted: str) -> torch.device:
        """The first device of this machine, for auto, cpu or cuda."""
        return open_device(("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted)

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network itself."""
        return network

    def total(self, values: Tensor) -> Tensor:
        """The values themselves."""
        return values


@dataclass(frozen=True, slots=True)
class EpochResult:
    """One epoch."""

    epoch: int
    """Number, from 1."""
    loss: float
    """Mean training loss."""
    confusion: NDArray[np.int64]
    """Validation pixels by label (rows) and class, shape (K, K)."""
    learning_rate: float
    seconds: float
    waited_share: float
    """Share of the training steps' time in which the network waited for windows."""


class Trainer:
    """A network in training. `run_epoch` is the whole of it; between epochs its state can be saved and restored."""

    def __init__(
        self,
        network: nn.Module,
        settings: TrainSettings,
        scaling: tuple[Step, ...],
        loss_of: LossOf,
        device: torch.device,
        workers: Workers,
        *,
        bf16: bool,
    ) -> None:
        """Move the network to the device and make its optimizer."""
        self.network = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average: AveragedModel | None = make_average(self.network, settings.optimizer)
        self.optimizer: Optimizer = make_optimizer(self.network, settings.optimizer)
        self._trained = workers.wrap(self.network)
        self._settings, self._scaling, self._loss_of = settings, scaling, loss_of
        self._device, self._workers, self._bf16 = device, workers, bf16
        self._augment = make_augment(settings.augment)

    @property
    def published(self) -> nn.Module:
        """The network that is validated and published: the moving average if there is one."""
        return self.average.module if self.average is not None else self.network

    def run_epoch(
        self,
        epoch: int,
        training: WindowSource,
        validation: WindowSource,
        places: list[Place],
        progress: Callable[[int, float], None],
    ) -> EpochResult:
        """Train for one epoch and validate.

        Args:
            epoch: Number of the epoch, from 0.
            training: Training windows.
            validation: Validation windows.
            places: The windows of a validation.
            progress: Is told the number of finished steps and the loss.

        Raises:
            SettingsError: If the loss is not finite.
            SceneError: If a file cannot be read.
        """
        begun, run = perf_counter(), self._settings.run
        reader = BatchReader(training, run.readers, run.batch_size // self._workers.size)
        try:
            loss, rate = self._train(epoch, reader, progress)
            waited = reader.waited_s / (perf_counter() - begun)
        finally:
            reader.close()
        confusion = self._validate(validation, places)
        return EpochResult(epoch + 1, loss, confusion, rate, perf_counter() - begun, waited)

    def _train(self, epoch: int, reader: BatchReader, progress: Callable[[int, float], None]) -> tuple[float, float]:
        run, optimizer = self._settings.run, self._settings.optimizer
        self._trained.train()
        encoder = self._frozen(epoch)
        if encoder is not None:
            encoder.eval()
        first, accumulate = epoch * run.steps_per_epoch, optimizer.accumulate
        batches = reader.drawn(self._numbers(first, accumulate))
        losses, rate = [], 0.0
        for step in range(first, first + run.steps_per_epoch):
            rate = set_learning_rate(self.optimizer, optimizer, step, run.epochs * run.steps_per_epoch)
            self.optimizer.zero_grad(set_to_none=True)
            total = 0.0
            for part in range(accumulate):
                # Each batch has a seed of its own, so a training that was stopped goes on in the same way.
                torch.manual_seed(hash((run.seed, step, part, self._workers.rank)) & (1 << 62) - 1)
                batch = next(batches)
                loss = self._loss(batch)
                (loss / accumulate).backward()  # type: ignore[no-untyped-call]
                total += loss.item() / accumulate
                if not np.isfinite(total):
                    raise SettingsError(self._explain(step, total, batch, reader))
            for parameter in encoder.parameters() if encoder is not None else ():
                parameter.grad = None  # the optimizer leaves it as it is
            clip(self.network, optimizer)
            self.optimizer.step()
            if self.average is not None:
                self.average.update_parameters(self.network)
            losses.append(total)
            progress(step - first + 1, total)
        mean = torch.tensor([float(np.mean(losses))], dtype=torch.float64)
        return float(self._workers.total(mean)) / self._workers.size, rate

    def _frozen(self, epoch: int) -> nn.Module | None:
        """The encoder in the epochs in which it is not changed."""
        encoder = getattr(self.network, "encoder", None)
        return encoder if epoch < self._settings.network.frozen_epochs else None

    def _numbers(self, first: int, accumulate: int) -> Iterator[int]:
        """Numbers of this worker's windows from a step on: a slice of each batch of all workers."""
        size = self._settings.run.batch_size
        own = size // self._workers.size
        for batch in range(first * accumulate, (first + self._settings.run.steps_per_epoch) * accumulate):
            start = batch * size + self._workers.rank * own
            yield from range(start, start + own)

    def _loss(self, batch: Batch) -> Tensor:
        pixels, labels = self._augment(self._scaled(batch), torch.from_numpy(batch.labels).to(self._device).long())
        with self._autocast():
            logits = self._trained(pixels.contiguous(memory_format=torch.channels_last))
        return self._loss_of(logits.float(), labels)

    def _scaled(self, batch: Batch) -> Tensor:
        """Scaled pixels, float32 (N, C, H, W); 0, the mean of a band, where they are not valid."""
        pixels = torch.from_numpy(batch.pixels.astype(np.float32)).to(self._device)
        valid = torch.from_numpy(batch.valid).to(self._device)[:, None]
        return torch.where(valid, scale_pixels(pixels, self._scaling), 0.0)

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self._device.type, torch.bfloat16) if self._bf16 else nullcontext()

    def _validate(self, source: WindowSource, places: list[Place]) -> NDArray[np.int64]:
        """Confusion matrix over the windows, each worker's share added."""
        classes = len(self._settings.classes)
        confusion = np.zeros((classes, classes), np.int64)
        for labels, logits in self.predict(source, places[self._workers.rank :: self._workers.size]):
            confusion += count_pairs(labels, logits.argmax(1).cpu().numpy(), classes)
        return self._workers.total(torch.from_numpy(confusion)).numpy()

    def predict(
        self, source: WindowSource, places: list[Place], batch_size: int | None = None
    ) -> Iterator[tuple[NDArray[np.uint8], Tensor]]:
        """Labels (N, H, W) and logits (N, K, H, W) float32 of windows, with the published network."""
        network, run = self.published.eval(), self._settings.run
        reader = BatchReader(source, run.readers, batch_size or run.batch_size // self._workers.size)
        try:
            for batch in reader.listed(places):
                with torch.inference_mode(), self._autocast():
                    logits = network(self._scaled(batch).contiguous(memory_format=torch.channels_last))
                yield batch.labels, logits.float()
        finally:
            reader.close()

    def _explain(self, step: int, loss: float, batch: Batch, reader: BatchReader) -> str:
        where = "; ".join(f"{reader.path_of(place)} {place.window}" for place in batch.places)
        labelled = int((batch.labels != NODATA_CLASS).sum())
        return (
            f"The loss of step {step + 1} is {loss}. Its windows: {where} ({labelled} labelled pixels). The last "
            "checkpoint is kept. Look for extreme values there; else lower optimizer.learning_rate, or set "
            "run.precision=fp32."
        )
