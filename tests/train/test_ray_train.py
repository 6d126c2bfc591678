"""Training with Ray Train: the curve of one worker, deaths of workers, refusals."""

import json
import os
import signal
import threading
from pathlib import Path

import psutil
import pytest
import ray

from geoseg.errors import SettingsError
from geoseg.train.train import train
from geoseg.train_settings import TrainSettings
from tests.support.training import settings, training_set

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], list[str]]:
    return training_set(tmp_path_factory.mktemp("set"))


def of_two(paths: tuple[list[str], list[str]], output: Path, **run: int) -> TrainSettings:
    return settings(*paths, output, run={"address": "auto", "workers": 2, **run})


def history(output: Path) -> list[dict[str, float]]:
    return json.loads((output / "report.json").read_text())["history"]


def test_two_workers_have_the_curve_of_one(local_ray: None, paths: tuple[list[str], list[str]], tmp_path: Path) -> None:
    train(settings(*paths, tmp_path / "one"))
    train(of_two(paths, tmp_path / "two"))
    one, two = history(tmp_path / "one"), history(tmp_path / "two")
    # Both see the same windows. What differs: each worker normalises over its half of a batch, and its random changes.
    for first, other in zip(one, two, strict=True):
        assert other["loss"] == pytest.approx(first["loss"], rel=0.35, abs=0.05)
    assert two[-1]["mean_iou"] > 0.9


def test_a_worker_that_is_killed_costs_an_epoch(
    local_ray: None, paths: tuple[list[str], list[str]], tmp_path: Path
) -> None:
    wanted = of_two(paths, tmp_path, epochs=4)
    killed = threading.Event()

    def kill_one() -> None:
        """End a training process after the first checkpoint."""
        while not killed.is_set():
            workers = [
                process
                for process in psutil.process_iter(["cmdline"])
                if any("RayTrainWorker" in word for word in process.info["cmdline"] or ())
            ]
            if (tmp_path / "checkpoint.pt").exists() and len(workers) == 2:
                os.kill(workers[-1].pid, signal.SIGKILL)
                killed.set()
            killed.wait(0.05)

    killer = threading.Thread(target=kill_one)
    killer.start()
    try:
        train(wanted)
    finally:
        ended, _ = killed.is_set(), killed.set()
        killer.join()
    assert ended
    assert [entry["epoch"] for entry in history(tmp_path)] == [1, 2, 3, 4]
    assert history(tmp_path)[-1]["mean_iou"] > 0.9


def test_more_workers_than_the_cluster_has_are_refused(
    local_ray: None, paths: tuple[list[str], list[str]], tmp_path: Path
) -> None:
    cpus = int(ray.cluster_resources()["CPU"])
    with pytest.raises(SettingsError, match=rf"run\.workers={2 * cpus}, and the cluster has {cpus} CPUs\. Set"):
        train(of_two(paths, tmp_path, workers=2 * cpus, batch_size=2 * cpus))


def test_an_error_of_the_data_reaches_the_user(
    local_ray: None, paths: tuple[list[str], list[str]], tmp_path: Path
) -> None:
    wild = settings(
        *paths,
        tmp_path,
        run={"address": "auto", "workers": 2},
        optimizer={"learning_rate": 1e6, "clip_norm": None, "name": "sgd"},
    )
    with pytest.raises(SettingsError, match=r"The loss of step \d+ is (nan|inf)\. Its windows"):
        train(wild)
