"""Which processes run on which nodes, and which nodes and GPUs are trusted. Decides; starts nothing itself."""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from geoseg.engine.executor import Ref
from geoseg.engine.ray_cluster.nodes import Node, describe_nodes
from geoseg.stages.stage import Stage

PREDICTOR, CPU_WORKER = "predictor", "cpu worker"
"""Kinds of processes: one holds the model on a device, one reads, finishes, traces and publishes."""
PREDICTOR_CPU_SHARE = 0.9
"""Predictors reserve nine tenths of their CPUs: a node full of them keeps room to read and finish their blocks."""
CPU_WORKER_CPUS = 0.1
"""More than zero, so that nodes that offer no CPU (the head of a KubeRay cluster) get no work."""
CPU_WORKERS_PER_NODE = 16
"""More would hold memory and find nothing to do."""
PLANS_KEPT = 8
"""Scenes whose plan a process keeps in mind."""
NODE_FAILURES, GPU_FAILURES, LAST_NODE_FAILURES = 3, 2, 12
"""After so many processes in turn that died or hung there, a node or a GPU is put aside."""


@dataclass(slots=True)
class Job:
    """A unit of work that a process was given."""

    ref: Ref
    stage: Stage
    deadline_s: float
    started: float
    """When it became the next in its process's line."""


@dataclass(slots=True, eq=False)
class Worker:
    """A process of the cluster."""

    kind: str
    node_id: str
    actor: Any
    start: Ref | None
    """Being started; None once it is ready."""
    launched: float
    gpu: str = ""
    jobs: list[Job] = field(default_factory=list)
    plans: deque[str] = field(default_factory=lambda: deque(maxlen=PLANS_KEPT))
    """Scenes whose plan it has."""


class WorkerPool:
    """Keeps count of places for processes and of what failed where."""

    def __init__(self, nodes: Sequence[Node], device: str, threads: int) -> None:
        """Take stock.

        Args:
            nodes: The cluster's nodes.
            device: ``cpu`` or ``cuda``.
            threads: CPUs of a process with a model.
        """
        self._device, self._threads = device, threads
        self._nodes: dict[str, Node] = {}
        self._places: dict[str, dict[str, int]] = {PREDICTOR: {}, CPU_WORKER: {}}
        for node in nodes:
            self.add(node)
        self._failures: Counter[tuple[str, str]] = Counter()
        self._gpu_failures: Counter[tuple[str, str]] = Counter()

    def add(self, node: Node) -> None:
        """Use one more node."""
        self._nodes[node.node_id] = node
        self._places[PREDICTOR][node.node_id] = int(node.gpus if self._device == "cuda" else node.cpus // self._threads)
        self._places[CPU_WORKER][node.node_id] = max(1, min(CPU_WORKERS_PER_NODE, int(node.cpus)))

    def needs(self, kind: str) -> dict[str, float]:
        """What a process of a kind reserves, in Ray's words."""
        if kind == CPU_WORKER:
            return {"num_cpus": CPU_WORKER_CPUS}
        return {"num_cpus": PREDICTOR_CPU_SHARE * self._threads, "num_gpus": int(self._device == "cuda")}

    def at_a_time(self, kind: str) -> int:
        """Units that a process of a kind works on: a GPU computes one block while another is copied."""
        return 2 if kind == PREDICTOR and self._device == "cuda" else 1

    def places(self, kind: str) -> int:
        """How many processes of a kind fit on the nodes that are left."""
        return sum(self._places[kind].values())

    def choose(self, kind: str, used: Counter[str]) -> str | None:
        """The node for one more process: the one with the most free places; None if there is none.

        Args:
            kind: `PREDICTOR` or `CPU_WORKER`.
            used: Processes of this kind on each node.
        """
        free = {node: count - used[node] for node, count in self._places[kind].items()}
        best = max(free, key=lambda node: free[node], default=None)
        return best if best is not None and free[best] > 0 else None

    def fail(self, kind: str, node_id: str, gpu: str = "") -> bool:
        """Count a process that died or hung; True if its node is put aside now. The last node is given more chances."""
        self._failures[kind, node_id] += 1
        self._gpu_failures[node_id, gpu] += 1
        # If nothing goes well anywhere, the work is at fault rather than the node.
        most = NODE_FAILURES if self._other_is_well(kind, node_id) else LAST_NODE_FAILURES
        return self._failures[kind, node_id] >= most and self.lose(node_id)

    def succeed(self, kind: str, node_id: str, gpu: str = "") -> None:
        """Forget earlier failures: a process has done something there."""
        self._failures[kind, node_id] = self._gpu_failures[node_id, gpu] = 0

    def lose(self, node_id: str) -> bool:
        """Use a node no more; True if it was in use."""
        known = node_id in self._places[CPU_WORKER]
        for places in self._places.values():
            places.pop(node_id, None)
        return known

    def is_bad(self, node_id: str, gpu: str) -> bool:
        """Tell whether a GPU has failed so often that a process on it should stay idle."""
        return bool(gpu) and self._gpu_failures[node_id, gpu] >= GPU_FAILURES

    def park(self, node_id: str) -> None:
        """Give up a place for a model: an idle process keeps a bad GPU from being handed out."""
        self._places[PREDICTOR][node_id] -= 1

    def name(self, node_id: str) -> str:
        """A node's name, for messages."""
        return self._nodes[node_id].name

    def _other_is_well(self, kind: str, node_id: str) -> bool:
        others = (node for node, places in self._places[kind].items() if places and node != node_id)
        return any(not self._failures[kind, node] for node in others)

    def describe_late(self, late: int, processes: int, waited_s: float) -> str:
        """Processes did not start in time: what they need, and what there is."""
        needs, others = self.needs(PREDICTOR), self.needs(CPU_WORKER)
        return (
            f"{late} of {processes} processes did not start within {waited_s:g} s; a predictor needs {needs}, the "
            f"others {others}. {describe_nodes(list(self._nodes.values()))} "
            "Set run.workers lower, free the cluster or raise run.start_timeout_s."
        )

    def describe_end(self, kind: str, reason: str) -> str:
        """No place is left for a process of this kind; ``reason``: why the last one was given up."""
        work = "predict" if kind == PREDICTOR else "read and finish blocks"
        return (
            f"No node is left that could {work}; the last process for it was given up because {reason}. Before: "
            f"{describe_nodes(list(self._nodes.values()))} What is done is kept: repair the cluster, then run the same "
            "command again."
        )
