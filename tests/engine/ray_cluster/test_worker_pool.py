"""Which node gets the next worker, and when a node or a GPU is excluded."""

from collections import Counter

import pytest

from geoseg.engine.ray_cluster.nodes import Node
from geoseg.engine.ray_cluster.worker_pool import (
    CPU_WORKER,
    CPU_WORKERS_PER_NODE,
    GPU_FAILURES,
    MAX_NODE_FAILURES,
    NODE_FAILURES,
    PREDICTOR,
    WorkerPool,
)


def pool(*offers: tuple[float, float], device: str = "cpu", threads: int = 1) -> WorkerPool:
    """Nodes n0, n1 ... by their CPUs and GPUs."""
    nodes = [Node(f"n{i}", f"host{i}", cpus, gpus) for i, (cpus, gpus) in enumerate(offers)]
    return WorkerPool(nodes, device, threads)


def fill(pool: WorkerPool, kind: str) -> list[str]:
    """Nodes that are chosen until no place is free."""
    used: Counter[str] = Counter()
    while (node := pool.choose(kind, used)) is not None:
        used[node] += 1
    return sorted(used.elements())


def test_predictors_take_whole_threads_of_cpus() -> None:
    assert fill(pool((5, 0), (1, 0), (2, 0), threads=2), PREDICTOR) == ["n0", "n0", "n2"]


def test_predictors_take_gpus_where_there_are_some() -> None:
    assert fill(pool((8, 1), (8, 0), (2, 2), device="cuda"), PREDICTOR) == ["n0", "n2", "n2"]


def test_cpu_workers_go_to_every_node_but_not_without_end() -> None:
    assert fill(pool((0.5, 0), (64, 0)), CPU_WORKER) == ["n0", *["n1"] * CPU_WORKERS_PER_NODE]


def test_processes_are_spread() -> None:
    spread = pool((4, 0), (4, 0), (4, 0))
    used: Counter[str] = Counter()
    for _ in range(6):
        used[spread.choose(PREDICTOR, used) or ""] += 1
    assert used == {"n0": 2, "n1": 2, "n2": 2}


def test_a_node_is_put_aside_after_failures_in_turn() -> None:
    nodes = pool((1, 0), (1, 0))
    assert [nodes.record_failure(PREDICTOR, "n0") for _ in range(NODE_FAILURES)] == [False] * (NODE_FAILURES - 1) + [
        True
    ]
    assert fill(nodes, PREDICTOR) == fill(nodes, CPU_WORKER) == ["n1"]
    assert not nodes.record_failure(PREDICTOR, "n0"), "it is put aside once"


def test_a_success_resets_the_failures() -> None:
    nodes = pool((1, 0), (1, 0))
    for _ in range(3 * NODE_FAILURES):
        assert not nodes.record_failure(PREDICTOR, "n0")
        nodes.record_success(PREDICTOR, "n0")


def test_failures_of_cpu_workers_and_predictors_are_counted_apart() -> None:
    nodes = pool((1, 0), (1, 0))
    for _ in range(NODE_FAILURES - 1):
        assert not nodes.record_failure(PREDICTOR, "n0")
        assert not nodes.record_failure(CPU_WORKER, "n0")
        nodes.record_success(CPU_WORKER, "n1")


def test_the_last_node_has_a_higher_limit() -> None:
    nodes = pool((1, 0), (1, 0))
    assert nodes.remove("n1")
    answers = [nodes.record_failure(PREDICTOR, "n0") for _ in range(MAX_NODE_FAILURES)]
    assert answers == [False] * (MAX_NODE_FAILURES - 1) + [True]
    assert nodes.choose(PREDICTOR, Counter()) is None


def test_a_node_is_removed_once_and_keeps_its_name() -> None:
    nodes = pool((1, 0), (1, 0))
    assert nodes.remove("n1")
    assert not nodes.remove("n1")
    assert nodes.name("n1") == "host1"
    assert nodes.places(PREDICTOR) == 1


@pytest.mark.parametrize(("gpu", "bad"), [("0", True), ("1", False), ("", False)])
def test_a_gpu_that_fails_repeatedly_is_excluded_alone(gpu: str, bad: bool) -> None:
    nodes = pool((8, 2), (8, 2), device="cuda")
    for _ in range(GPU_FAILURES):
        nodes.record_failure(PREDICTOR, "n0", "0")
    assert nodes.is_failing_gpu("n0", gpu) == bad
    assert not nodes.is_failing_gpu("n1", gpu)


def test_a_gpu_that_is_parked_leaves_the_others_of_its_node_in_use() -> None:
    nodes = pool((8, 2), (8, 1), device="cuda")
    for _ in range(GPU_FAILURES):
        assert not nodes.record_failure(PREDICTOR, "n0", "0")
    nodes.park("n0")
    assert fill(nodes, PREDICTOR) == ["n0", "n1"]
    nodes.record_success(PREDICTOR, "n0", "1")
    assert not nodes.record_failure(PREDICTOR, "n0", "1"), "failures of the parked GPU do not count for the node"
    assert nodes.is_failing_gpu("n0", "0")
