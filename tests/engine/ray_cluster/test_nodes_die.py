"""A run continues when workers or nodes of its cluster fail, and publishes the same bytes."""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from time import sleep

import psutil
import pytest
import ray
from ray.cluster_utils import Cluster

from geoseg.config import FAULT_VARIABLE
from geoseg.engine.ray_cluster.worker_pool import GPU_FAILURES, NODE_FAILURES
from geoseg.errors import ClusterError
from geoseg.grid.tiling import Block
from geoseg.run.report import Report
from tests.support.disasters import BLOCKS, DISASTERS, Disaster, a_node, fault, freeze_node, survive
from tests.support.gpus import GPU_RULES
from tests.support.nodes import cluster_of, family, signal_all
from tests.support.scenes import digests, run, textured, write_scene

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

SCENE_PX = 500, 640
TILING = {"block_px": 48}
CPU = {"num_cpus": 1}


def check_whole(report: Report, output: Path, reference: dict[str, str]) -> None:
    assert report.exit_code == 0, report.failed
    assert digests(output) == reference
    assert not (output / ".work").exists()


IN_CI = "the raylet of a node dies"


@pytest.mark.parametrize(
    "what", [what if what == IN_CI else pytest.param(what, marks=pytest.mark.slow) for what in DISASTERS]
)
def test_a_run_survives(what: str, inputs: tuple[Path, Path], reference: dict[str, str], tmp_path: Path) -> None:
    with cluster_of(CPU, CPU, CPU) as cluster:
        recovery = survive(cluster, DISASTERS[what], *inputs, tmp_path / "out")
        check_whole(recovery.report, tmp_path / "out", reference)
        assert recovery.report.retries > 0
        assert recovery.first_s is not None


@pytest.mark.slow
def test_processes_of_a_frozen_node_that_wake_up_later_break_nothing(
    inputs: tuple[Path, Path], reference: dict[str, str], tmp_path: Path
) -> None:
    frozen: list[psutil.Process] = []

    def freeze(cluster: Cluster) -> None:
        frozen.extend(family(a_node(cluster)))
        freeze_node(cluster)

    with cluster_of(CPU, CPU, CPU) as cluster:
        recovery = survive(cluster, freeze, *inputs, tmp_path / "out")
        check_whole(recovery.report, tmp_path / "out", reference)
        signal_all(frozen, "resume")
        _, alive = psutil.wait_procs(frozen, timeout=60)
        assert not [process for process in alive if process.name().startswith("ray::Process")]
    # The next run removes what they wrote after the first had ended.
    again = run(*inputs, tmp_path / "out", tiling=TILING)
    assert [found["status"] for found in again.scenes] == ["up to date"]
    check_whole(again, tmp_path / "out", reference)


@pytest.mark.slow
def test_a_run_without_nodes_ends_with_a_message_and_can_be_resumed(
    inputs: tuple[Path, Path], reference: dict[str, str], tmp_path: Path
) -> None:
    output, notes = tmp_path / "out", tmp_path / "notes"
    with cluster_of(CPU, {"num_cpus": 2}, {"num_cpus": 2}) as cluster:

        def strike() -> None:
            for node in list(cluster.worker_nodes):
                cluster.remove_node(node, allow_graceful=False)

        settings = {"address": cluster.address, "threads": 2}
        with (
            pytest.raises(ClusterError, match=r"No node is left that could predict.*run the same command again"),
            Disaster(output, notes, strike),
        ):
            run(*inputs, output, run=settings, tiling=TILING)
    assert digests(output) == {}
    again = run(*inputs, output, run={"address": "inline", "threads": 2}, tiling=TILING)
    assert again.resumed_blocks >= BLOCKS
    check_whole(again, output, reference)


@pytest.mark.slow
def test_a_node_on_which_everything_dies_is_put_aside(
    inputs: tuple[Path, Path], reference: dict[str, str], tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    bad = {**CPU, "env_vars": {FAULT_VARIABLE: f"predict:start:*:*:note={notes},predict:start:*:*:kill"}}

    def deaths() -> int:
        return len(notes.read_text().splitlines()) if notes.exists() else 0

    def in_bursts(blocks: Iterable[Block]) -> Iterator[Block]:
        for number, block in enumerate(blocks):
            if number % 8 == 0 and deaths() < NODE_FAILURES:
                sleep(5)  # its processes take seconds to start; of work in bursts each process gets some
            yield block

    with cluster_of(CPU, bad, CPU) as cluster:
        report = run(*inputs, tmp_path / "out", order=in_bursts, run={"address": cluster.address}, tiling=TILING)
    check_whole(report, tmp_path / "out", reference)
    assert deaths() == NODE_FAILURES
    assert len([text for text in report.warnings if "was put aside: " in text]) == 1
    assert 3 <= report.retries <= 3 * 2 + 4


@pytest.mark.slow
def test_a_gpu_on_which_everything_dies_is_put_aside(
    inputs: tuple[Path, Path], reference: dict[str, str], tmp_path: Path
) -> None:
    """The good GPU starts to predict once the worker on the bad one has been replaced `GPU_FAILURES` times."""
    starts, gate = tmp_path / "starts", tmp_path / "gate"
    starts.touch()
    os.mkfifo(gate)
    rules = {
        GPU_RULES.format(0): f"load:end:*:*:note={starts},predict:start:*:*:kill",
        GPU_RULES.format(1): f"predict:start:*:*:note={gate}",
    }
    hook = {"worker_process_setup_hook": "tests.support.gpus.break_gpus", "env_vars": rules}
    over = Event()

    def open_gate() -> None:
        while len(starts.read_text().splitlines()) <= GPU_FAILURES and not over.wait(0.05):
            pass
        with gate.open("rb"):
            over.wait()

    with cluster_of({"num_cpus": 4, "num_gpus": 2}) as cluster, ThreadPoolExecutor(1) as pool:
        ray.init(cluster.address, runtime_env=hook, log_to_driver=False)
        pool.submit(open_gate)
        try:
            report = run(*inputs, tmp_path / "out", run={"address": cluster.address}, tiling=TILING)
        finally:
            over.set()
            os.close(os.open(gate, os.O_RDWR | os.O_NONBLOCK))
    check_whole(report, tmp_path / "out", reference)
    assert len(starts.read_text().splitlines()) == GPU_FAILURES + 1


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_a_unit_that_runs_out_of_memory_fails_its_scene_alone(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    small = write_scene(tmp_path / "small.tif", textured(90, 90), nodata=0)
    notes = tmp_path / "notes"
    with fault(f"predict:start:r0003c0004:*:note={notes},predict:start:r0003c0004:*:oom"):
        report = run([inputs[0], small], inputs[1], tmp_path / "out", run={"workers": 2}, tiling=TILING)
    assert report.exit_code == 3
    assert notes.read_text().split() == [f"predict:start:r0003c0004:{attempt}" for attempt in (1, 2, 3)]
    assert "out of memory, 3 times" in report.failed[0]["error"]
    assert "Set tiling.block_px or run.workers lower" in report.failed[0]["error"]
    assert [scene["scene_id"] for scene in report.scenes if scene["status"] == "done"] == ["small"]


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_a_unit_that_hangs_is_done_elsewhere(
    inputs: tuple[Path, Path], reference: dict[str, str], tmp_path: Path
) -> None:
    with fault("predict:start:r0003c0004:1:hang,finish:start:r0001c0001:1:hang,publish:start:*:1:hang"):
        report = run(*inputs, tmp_path / "out", run={"workers": 2, "unit_timeout_s": 5}, tiling=TILING)
    check_whole(report, tmp_path / "out", reference)
    assert report.retries >= 3


@pytest.mark.slow
def test_a_node_that_joins_or_comes_back_is_used(
    inputs: tuple[Path, Path], reference: dict[str, str], tmp_path: Path
) -> None:
    used = tmp_path / "used"
    new = {**CPU, "env_vars": {FAULT_VARIABLE: f"predict:end:*:*:note={used}"}}
    with cluster_of(CPU, CPU) as cluster:

        def replace_node(blocks: Iterable[Block]) -> Iterator[Block]:
            for number, block in enumerate(blocks):
                if number == BLOCKS:
                    cluster.remove_node(a_node(cluster), allow_graceful=False)
                    cluster.add_node(**new)
                if number > BLOCKS and not used.exists():
                    sleep(1)  # the new node's processes take seconds to start
                yield block

        report = run(*inputs, tmp_path / "out", order=replace_node, run={"address": cluster.address}, tiling=TILING)
    check_whole(report, tmp_path / "out", reference)
    assert used.exists()
