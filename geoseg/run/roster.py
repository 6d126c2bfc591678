"""Which processes run on which nodes, and which nodes and GPUs are trusted. Decides; starts nothing itself."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from geoseg.run.executor import Ref
from geoseg.run.nodes import Node

MODEL, HAND = "model", "hand"
"""Kinds of processes: one holds the model on a device, one reads, finishes, traces and publishes."""
HANDS_PER_NODE = 16
"""More would hold memory and find nothing to do."""
NODE_FAILURES, GPU_FAILURES, LAST_NODE_FAILURES = 3, 2, 12
"""After so many processes in turn that died or hung there, a node or a GPU is put aside."""


@dataclass(slots=True)
class Job:
    """A unit of work that a process was given."""

    ref: Ref
    deadline_s: float
    started: float
    """When it became the next in its process's line."""


@dataclass(slots=True)
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


class Roster:
    """Keeps count of places for processes and of what failed where."""

    def __init__(self, nodes: Sequence[Node], device: str, threads: int) -> None:
        """Take stock.

        Args:
            nodes: The cluster's nodes.
            device: ``cpu`` or ``cuda``.
            threads: CPUs of a process with a model.
        """
        self._nodes = {node.node_id: node for node in nodes}
        self._places = {
            MODEL: {n.node_id: int(n.gpus if device == "cuda" else n.cpus // threads) for n in nodes},
            HAND: {n.node_id: max(1, min(HANDS_PER_NODE, int(n.cpus))) for n in nodes},
        }
        self._failures: Counter[tuple[str, str]] = Counter()
        self._gpu_failures: Counter[tuple[str, str]] = Counter()

    def places(self, kind: str) -> int:
        """How many processes of a kind fit on the nodes that are left."""
        return sum(self._places[kind].values())

    def choose(self, kind: str, used: Counter[str]) -> str | None:
        """The node for one more process: the one with the most free places; None if there is none.

        Args:
            kind: `MODEL` or `HAND`.
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
        known = node_id in self._places[HAND]
        for places in self._places.values():
            places.pop(node_id, None)
        return known

    def is_bad(self, node_id: str, gpu: str) -> bool:
        """Tell whether a GPU has failed so often that a process on it should stay idle."""
        return bool(gpu) and self._gpu_failures[node_id, gpu] >= GPU_FAILURES

    def park(self, node_id: str) -> None:
        """Give up a place for a model: an idle process keeps a bad GPU from being handed out."""
        self._places[MODEL][node_id] -= 1

    def name(self, node_id: str) -> str:
        """A node's name, for messages."""
        return self._nodes[node_id].name

    def _other_is_well(self, kind: str, node_id: str) -> bool:
        others = (node for node, places in self._places[kind].items() if places and node != node_id)
        return any(not self._failures[kind, node] for node in others)
