"""Several workers by Ray Train. Beside `geoseg.engine.ray_cluster` the only package that imports Ray."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ray
import torch
from ray.train import FailureConfig, RunConfig, ScalingConfig, get_context
from ray.train import report as report_to_ray
from ray.train.torch import TorchTrainer, get_device, prepare_model
from ray.util.queue import Empty, Queue
from torch import Tensor, nn

from geoseg.engine.ray_cluster.connection import connected
from geoseg.errors import ClusterError, GeosegError, SettingsError
from geoseg.train.plan import TrainPlan
from geoseg.train.worker import train_network

MAX_FAILURES = 3
"""Deaths of workers after which the training ends; each time all workers go on from the last checkpoint."""
POLL_S = 1.0


class RayWorkers:
    """The workers of Ray Train, as one of them sees them."""

    def __init__(self) -> None:
        """Find this worker's place."""
        self.rank: int = get_context().get_world_rank()
        self.size: int = get_context().get_world_size()

    def device(self, wanted: str) -> torch.device:
        """The device that Ray gave to this worker, which was asked for as ``wanted``."""
        return get_device() if wanted != "cpu" else torch.device("cpu")

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network whose gradients are the mean over the workers."""
        return prepare_model(network, move_to_device=False)  # type: ignore[no-any-return]

    def total(self, values: Tensor) -> Tensor:
        """Sum of tensors of the same shape over the workers."""
        if self.size > 1:
            moved = values.to(get_device())
            torch.distributed.all_reduce(moved)
            return moved.cpu()
        return values


def train_on_ray(plan: TrainPlan, folder: Path, on_epoch: Callable[[dict[str, float]], None]) -> None:
    """Train with the workers of ``run.workers``, each with a GPU where there are some.

    Args:
        plan: The training.
        folder: Folder of the checkpoint, which all nodes see.
        on_epoch: Is told the metrics of each epoch, in this process.

    Raises:
        SettingsError: If there are too few GPUs, or the training refuses its data.
        ClusterError: If workers died more often than is allowed.
    """
    run = plan.settings.run
    with connected(run.address):
        gpus = int(ray.cluster_resources().get("GPU", 0))
        use_gpu = run.device == "cuda" or (run.device == "auto" and gpus > 0)
        available = gpus if use_gpu else int(ray.cluster_resources().get("CPU", 0))
        if run.workers > available:
            raise SettingsError(
                f"run.workers={run.workers}, and the cluster has {available} {'GPUs' if use_gpu else 'CPUs'}. Set "
                f"run.workers={max(1, available)}."
            )
        epochs = Queue(actor_options={"num_cpus": 0})
        trainer = TorchTrainer(
            _work,
            train_loop_config={"plan": plan, "folder": str(folder.resolve()), "epochs": epochs},
            scaling_config=ScalingConfig(num_workers=run.workers, use_gpu=use_gpu),
            run_config=RunConfig(
                name="ray", storage_path=str(folder.resolve()), failure_config=FailureConfig(max_failures=MAX_FAILURES)
            ),
        )
        with ThreadPoolExecutor(1) as pool:
            fitted = pool.submit(trainer.fit)
            _follow(fitted, epochs, on_epoch)


def _work(config: dict[str, Any]) -> None:
    """What each worker does. The driver is told an expected error, and raises it if new starts do not help."""
    workers, epochs = RayWorkers(), config["epochs"]

    def done(metrics: dict[str, float]) -> None:
        if workers.rank == 0:
            epochs.put(metrics)
        report_to_ray(metrics)

    try:
        train_network(config["plan"], Path(config["folder"]), workers, done, lambda *_: None)
    except GeosegError as error:
        epochs.put(error)
        raise


def _follow(fitted: "Future[Any]", epochs: Queue, on_epoch: Callable[[dict[str, float]], None]) -> None:
    """Tell the metrics of each epoch until the training ends; raise its error."""
    told: GeosegError | None = None
    while not fitted.done() or not epochs.empty():
        try:
            message = epochs.get(timeout=POLL_S)
        except Empty:
            continue
        if isinstance(message, GeosegError):
            told = message
        else:
            on_epoch(message)
    error = fitted.exception()
    if error is not None:
        if told is not None:
            raise told
        reason = " ".join(str(error).split())
        raise ClusterError(
            f"Ray Train gave up, after at most {MAX_FAILURES} new starts of the workers: {reason[:500]} The last "
            "checkpoint is kept: run the same command again."
        ) from error
