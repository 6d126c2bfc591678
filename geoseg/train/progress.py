"""Show the progress of a training, and write it to TensorBoard."""

from pathlib import Path
from time import monotonic
from types import ModuleType
from typing import Any, Self

from rich.console import Console
from rich.markup import escape

from geoseg.train.plan import TrainPlan
from geoseg.train.publish.report import split_counts

LINE_EVERY_S = 10.0


class Progress:
    """Prints a line an epoch, and in long epochs one every ten seconds."""

    def __init__(self, console: Console, plan: TrainPlan, start: str) -> None:
        """Print what is trained on what."""
        self._console, self._run = console, plan.settings.run
        self._begun = self._shown = monotonic()
        self._done = 0
        self._writer: Any = None
        self._folder = Path(plan.settings.output, "tensorboard")
        counts = split_counts(plan.sites, plan.settings.names)
        console.print(
            f"{len(plan.scenes)} scenes, {len(plan.sites.scenes):,} places with "
            + ", ".join(f"{sum(own.values()) / 1e6:.2f} Mpx for {split}" for split, own in counts.items()),
            highlight=False,
        )
        network = plan.settings.network.architecture
        console.print(f"{network} on {', '.join(plan.bands)}; {escape(start)}", highlight=False)

    def __enter__(self) -> Self:
        if writers := _tensorboard():
            self._writer = writers.SummaryWriter(str(self._folder))
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def step(self, epoch: int, step: int, loss: float) -> None:
        """Show the progress within an epoch if ten seconds are over."""
        if monotonic() - self._shown >= LINE_EVERY_S:
            self._shown = monotonic()
            self._console.print(
                f"epoch {epoch + 1} of {self._run.epochs}: step {step} of {self._run.steps_per_epoch}, loss {loss:.4f}",
                highlight=False,
            )

    def epoch(self, metrics: dict[str, float]) -> None:
        """Show the metrics of an epoch."""
        self._shown = monotonic()
        self._done += 1
        epoch = int(metrics["epoch"])
        left = (monotonic() - self._begun) / self._done * (self._run.epochs - epoch)
        self._console.print(
            f"epoch {epoch} of {self._run.epochs}: loss {metrics['loss']:.4f}, mIoU {metrics['mean_iou']:.3f}, "
            f"accuracy {metrics['accuracy']:.3f}, {metrics['seconds']:.0f} s, waited for windows "
            f"{metrics['waited_share']:.0%}, about {left / 60:.0f} min left",
            highlight=False,
        )
        if self._writer is not None:
            for name in ("loss", "mean_iou", "accuracy", "learning_rate"):
                self._writer.add_scalar(name, metrics[name], epoch)


def _tensorboard() -> ModuleType | None:
    """The package tensorboardX of ``geoseg[train]``, if it is installed."""
    try:
        import tensorboardX  # type: ignore[import-untyped]  # noqa: PLC0415
    except ModuleNotFoundError:
        return None
    return tensorboardX  # type: ignore[no-any-return]
