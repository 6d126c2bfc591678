"""Choose the worker for each unit of work. No calls to Ray.

A block stays on one node, so that its pixels and scores do not cross the network: it is read on the node whose
predictors have the least work, and predicted and finished there. A unit whose inputs are in the store goes to the node
with the most idle CPU workers, one without predictors if possible.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

from geoseg.engine.executor import Ref
from geoseg.engine.ray_cluster.worker_pool import PREDICTOR, Worker
from geoseg.stages.stage import READ, Stage

BLOCKS_PER_PREDICTOR = 2
"""One that is predicted, and one that is ready."""


class LocatedRef(NamedTuple):
    """Reference to a large value, and the node whose memory holds it."""

    ref: Ref
    node_id: str


@dataclass(slots=True)
class NodeWorkers:
    """The started workers of one node."""

    predictors: list[Worker] = field(default_factory=list)
    cpu_workers: list[Worker] = field(default_factory=list)

    @property
    def blocks_per_predictor(self) -> float:
        """Blocks that are read or predicted here, for each predictor; infinite without predictors."""
        reading = sum(unit.stage == READ for worker in self.cpu_workers for unit in worker.assignments)
        blocks = reading + sum(len(predictor.assignments) for predictor in self.predictors)
        return blocks / len(self.predictors) if self.predictors else inf

    @property
    def idle_cpu_workers(self) -> list[Worker]:
        """CPU workers without a unit."""
        return [worker for worker in self.cpu_workers if not worker.assignments]

    @property
    def serves_blocks(self) -> bool:
        """Whether a CPU worker is idle, or works on a block; a unit on a whole scene may take an hour."""
        return any(all(unit.stage.scope == "block" for unit in worker.assignments) for worker in self.cpu_workers)


class Placement:
    """Chooses a started worker for each unit."""

    def __init__(self) -> None:
        self._nodes: defaultdict[str, NodeWorkers] = defaultdict(NodeWorkers)

    def join(self, worker: Worker) -> None:
        """Add a started worker."""
        self._kind(worker).append(worker)

    def leave(self, worker: Worker) -> None:
        """Remove a worker, if it was added."""
        if worker in self._kind(worker):
            self._kind(worker).remove(worker)

    def choose(self, stage: Stage, home: str | None, max_blocks_per_predictor: float) -> Worker | None:
        """The worker for a unit; None if the unit must wait.

        Args:
            stage: The unit's stage.
            home: The node whose memory holds the unit's input; None if the input is in the store.
            max_blocks_per_predictor: Most blocks that are read or predicted on a node, for each of its predictors.
        """
        if stage.needs_model:
            return self._predictor(self._nodes[home or ""])
        nodes, near = self._nodes.values(), self._nodes[home or ""]
        if stage == READ and all(node.blocks_per_predictor >= max_blocks_per_predictor for node in nodes):
            return None
        if near.serves_blocks:
            return next(iter(near.idle_cpu_workers), None)

        def rank(node: NodeWorkers) -> tuple[float, ...]:
            if stage == READ:
                return (node.blocks_per_predictor,)
            return bool(node.predictors), -len(node.idle_cpu_workers)

        best = min((node for node in nodes if node.idle_cpu_workers), key=rank, default=None)
        return best.idle_cpu_workers[0] if best else None

    def has_idle_cpu_worker(self) -> bool:
        """Whether any CPU worker is idle."""
        return any(node.idle_cpu_workers for node in self._nodes.values())

    def _predictor(self, home: NodeWorkers) -> Worker | None:
        """A predictor on the node that holds the pixels; elsewhere if it has none or only busy ones."""
        near = _least_busy(home.predictors)
        if near is not None and len(near.assignments) < BLOCKS_PER_PREDICTOR:
            return near
        far = _least_busy(predictor for node in self._nodes.values() for predictor in node.predictors)
        most = BLOCKS_PER_PREDICTOR if near is None else 1
        return far if far is not None and len(far.assignments) < most else None

    def _kind(self, worker: Worker) -> list[Worker]:
        node = self._nodes[worker.node_id]
        return node.predictors if worker.kind == PREDICTOR else node.cpu_workers


def _least_busy(workers: Iterable[Worker]) -> Worker | None:
    return min(workers, key=lambda worker: len(worker.assignments), default=None)
