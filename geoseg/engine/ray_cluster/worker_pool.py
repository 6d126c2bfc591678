"""Choose nodes for workers, and exclude nodes and GPUs that fail repeatedly. No calls to Ray."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from geoseg.engine.executor import Ref
from geoseg.engine.ray_cluster.nodes import Node, describe_nodes
from geoseg.stages.stage import Stage

PREDICTOR, CPU_WORKER = "predictor", "cpu worker"
"""Kinds of workers: a predictor holds the model on a device; a CPU worker reads, finishes, traces and publishes."""
PREDICTOR_CPU_SHARE = 0.9
"""Predictors reserve nine tenths of their CPUs, so that CPU workers fit on a node that is full of predictors."""
CPU_WORKER_CPUS = 0.1
"""More than zero, so that nodes that offer no CPU (the head of a KubeRay cluster) get no worker."""
CPU_WORKERS_PER_NODE = 16
"""More would use memory and stay idle."""
PLANS_KEPT = 8
"""Number of scene plans that the driver and each worker keep."""
NODE_FAILURES, GPU_FAILURES, MAX_NODE_FAILURES = 3, 2, 12
"""Consecutive failures of workers after which a node or a GPU is excluded; the last if no other node works."""


@dataclass(slots=True)
class Assignment:
    """A unit of work that a worker has been given."""

    ref: Ref
    stage: Stage
    deadline_s: float
    started: float
    """When it became the first of its worker's units; the deadline counts from here."""


@dataclass(slots=True, eq=False)
class Worker:
    """An actor on the cluster."""

    kind: str
    node_id: str
    actor: Any
    start: Ref | None
    """Reference of its start; None once it has started."""
    launched: float
    gpu: str = ""
    assignments: list[Assignment] = field(default_factory=list)


class WorkerPool:
    """Counts the places for workers on each node, and the failures of workers."""

    def __init__(self, nodes: Sequence[Node], device: str, threads: int) -> None:
        """Create a pool.

        Args:
            nodes: The cluster's nodes.
            device: ``cpu`` or ``cuda``.
            threads: CPUs of a predictor.
        """
        self._device, self._threads = device, threads
        self._nodes: dict[str, Node] = {}
        self._places: dict[str, dict[str, int]] = {PREDICTOR: {}, CPU_WORKER: {}}
        for node in nodes:
            self.add(node)
        self._failures: Counter[tuple[str, str]] = Counter()
        self._gpu_failures: Counter[tuple[str, str]] = Counter()

    def add(self, node: Node) -> None:
        """Add a node."""
        self._nodes[node.node_id] = node
        self._places[PREDICTOR][node.node_id] = int(node.gpus if self._device == "cuda" else node.cpus // self._threads)
        self._places[CPU_WORKER][node.node_id] = max(1, min(CPU_WORKERS_PER_NODE, int(node.cpus)))

    def resources(self, kind: str) -> dict[str, float]:
        """Ray resources that a worker of a kind reserves."""
        if kind == CPU_WORKER:
            return {"num_cpus": CPU_WORKER_CPUS}
        return {"num_cpus": PREDICTOR_CPU_SHARE * self._threads, "num_gpus": int(self._device == "cuda")}

    def concurrency(self, kind: str) -> int:
        """Units that a worker of a kind runs at the same time: a GPU predicts one block while another is copied."""
        return 2 if kind == PREDICTOR and self._device == "cuda" else 1

    def places(self, kind: str) -> int:
        """Number of workers of a kind that fit on the nodes in use."""
        return sum(self._places[kind].values())

    def choose(self, kind: str, used: Counter[str]) -> str | None:
        """The node for one more worker: the one with the most free places; None if no place is free.

        Args:
            kind: `PREDICTOR` or `CPU_WORKER`.
            used: Number of workers of this kind on each node.
        """
        free = {node: count - used[node] for node, count in self._places[kind].items()}
        best = max(free, key=lambda node: free[node], default=None)
        return best if best is not None and free[best] > 0 else None

    def record_failure(self, kind: str, node_id: str, gpu: str = "") -> bool:
        """Count a worker that died or hung; True if its node is excluded now. The limit is higher if all nodes fail."""
        self._failures[kind, node_id] += 1
        self._gpu_failures[node_id, gpu] += 1
        # If all nodes fail, the cause is more likely the work than the node.
        limit = NODE_FAILURES if self._another_node_works(kind, node_id) else MAX_NODE_FAILURES
        return self._failures[kind, node_id] >= limit and self.remove(node_id)

    def record_success(self, kind: str, node_id: str, gpu: str = "") -> None:
        """Reset the failure counts: a worker has finished a unit there."""
        self._failures[kind, node_id] = self._gpu_failures[node_id, gpu] = 0

    def remove(self, node_id: str) -> bool:
        """Exclude a node; True if it was in use."""
        was_used = node_id in self._places[CPU_WORKER]
        for places in self._places.values():
            places.pop(node_id, None)
        return was_used

    def is_failing_gpu(self, node_id: str, gpu: str) -> bool:
        """Whether a GPU has failed so often that the worker on it must stay idle."""
        return bool(gpu) and self._gpu_failures[node_id, gpu] >= GPU_FAILURES

    def park(self, node_id: str) -> None:
        """Remove a predictor's place: an idle worker holds the failing GPU, so that Ray gives it to no other."""
        self._places[PREDICTOR][node_id] -= 1

    def name(self, node_id: str) -> str:
        """A node's name, for messages."""
        return self._nodes[node_id].name

    def _another_node_works(self, kind: str, node_id: str) -> bool:
        others = (node for node, places in self._places[kind].items() if places and node != node_id)
        return any(not self._failures[kind, node] for node in others)

    def describe_start_timeout(self, late: int, processes: int, waited_s: float) -> str:
        """Message for workers that did not start in time: what they need and what the nodes offer."""
        predictor, cpu_worker = self.resources(PREDICTOR), self.resources(CPU_WORKER)
        return (
            f"{late} of {processes} processes did not start within {waited_s:g} s; a predictor needs {predictor}, the "
            f"others {cpu_worker}. {describe_nodes(list(self._nodes.values()))} "
            "Set run.workers lower, free the cluster or raise run.start_timeout_s."
        )

    def describe_no_place(self, kind: str, reason: str) -> str:
        """Message for a cluster without a node for a worker of this kind; ``reason``: why the last one ended."""
        work = "predict" if kind == PREDICTOR else "read and finish blocks"
        return (
            f"No node is left that could {work}; the last process for it was given up because {reason}. Before: "
            f"{describe_nodes(list(self._nodes.values()))} What is done is kept: repair the cluster, then run the same "
            "command again."
        )
