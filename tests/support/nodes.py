"""A Ray cluster of several nodes on this machine; tests kill and suspend its processes during a run."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil
import ray
from ray.cluster_utils import Cluster

SOON = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 5,
}
"""Ray notices a frozen node within about eight seconds; by default it takes more than a minute."""


@contextmanager
def cluster_of(*nodes: dict[str, Any], health: dict[str, int] | None = None) -> Iterator[Cluster]:
    """A cluster of nodes, the head first.

    Args:
        nodes: Arguments of `Cluster.add_node` for each.
        health: Ray's settings that say when it takes a node for dead; default: soon.
    """
    ray.shutdown()
    config = SOON if health is None else health
    cluster = Cluster(initialize_head=True, head_node_args={**nodes[0], "_system_config": config})
    try:
        for node in nodes[1:]:
            cluster.add_node(**node)
        yield cluster
    finally:
        left = [process for node in cluster.worker_nodes for process in family(node)]
        signal_all(left, "resume")  # a process that is stopped cannot be told to end
        ray.shutdown()
        cluster.shutdown()
        signal_all(left, "kill")


def raylet(node: Any) -> psutil.Process:
    """The raylet process of a node."""
    return psutil.Process(node.all_processes["raylet"][0].process.pid)


def family(node: Any) -> list[psutil.Process]:
    """A node's raylet and all its descendants."""
    try:
        return [raylet(node), *raylet(node).children(recursive=True)]
    except (psutil.NoSuchProcess, KeyError):
        return []


def actors(node: Any, *, with_model: bool) -> list[psutil.Process]:
    """Worker processes of a node: the predictors, or the CPU workers."""
    found = []
    for process in family(node)[1:]:
        with suppress(psutil.NoSuchProcess):
            if process.name().startswith("ray::Process") and loads_torch(process) == with_model:
                found.append(process)
    return found


def loads_torch(process: psutil.Process) -> bool:
    """Whether a process has loaded torch, as predictors do."""
    return any("libtorch" in part.path for part in process.memory_maps())


def signal_all(processes: list[psutil.Process], what: str) -> None:
    """`kill`, `suspend` or `resume` processes, those that are left."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            getattr(process, what)()
