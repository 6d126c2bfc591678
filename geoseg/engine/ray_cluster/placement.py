"""Which process gets which unit of work. Decides; starts nothing itself.

A block stays on one node, so that its pixels and scores never cross the network: it is read where the predictors have
least to do, predicted by one of that node, and finished there. Work on what lies in the store goes to any free worker.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from geoseg.engine.executor import Ref
from geoseg.engine.ray_cluster.worker_pool import PREDICTOR, Worker
from geoseg.stages.stage import READ, Stage

BLOCKS_PER_PREDICTOR = 2
"""One in work, and one ready beside it."""


class Held(NamedTuple):
    """A large value, and the node whose memory holds it."""

    ref: Ref
    node_id: str


@dataclass(slots=True)
class NodeWorkers:
    """The workers of one node that are ready."""

    predictors: list[Worker] = field(default_factory=list)
    cpu_workers: list[Worker] = field(default_factory=list)

    @property
    def blocks_per_predictor(self) -> float:
        """Blocks that are being read or predicted here; the node has predictors."""
        reading = sum(job.stage == READ for worker in self.cpu_workers for job in worker.jobs)
        return (reading + sum(len(predictor.jobs) for predictor in self.predictors)) / len(self.predictors)

    @property
    def idle_cpu_workers(self) -> list[Worker]:
        """CPU workers with nothing to do."""
        return [worker for worker in self.cpu_workers if not worker.jobs]

    @property
    def serves_blocks(self) -> bool:
        """Tell whether a worker is free, or soon will be: work on a whole scene may take an hour."""
        return any(all(job.stage.scope == "block" for job in worker.jobs) for worker in self.cpu_workers)


class Placement:
    """Chooses a worker for each unit among those that are ready, node by node."""

    def __init__(self) -> None:
        self._nodes: defaultdict[str, NodeWorkers] = defaultdict(NodeWorkers)

    def join(self, worker: Worker) -> None:
        """Give a process work from now on."""
        self._kind(worker).append(worker)

    def leave(self, worker: Worker) -> None:
        """Give it no more, if it was given any."""
        if worker in self._kind(worker):
            self._kind(worker).remove(worker)

    def choose(self, stage: Stage, home: str | None, most_blocks: float) -> Worker | None:
        """The process for a unit; None if it should wait.

        Args:
            stage: What is to be done.
            home: The node that holds what the unit needs; None if that lies in the store.
            most_blocks: Blocks that may be read or predicted on a node for each of its predictors.
        """
        if stage.needs_model:
            return self._predictor(self._nodes.get(home or "", NodeWorkers()))
        if stage == READ:
            return self._reader(most_blocks)
        return self._cpu_worker(self._nodes.get(home or "", NodeWorkers()))

    def has_idle_cpu_worker(self) -> bool:
        """Tell whether a process that holds no model has nothing to do."""
        return any(node.idle_cpu_workers for node in self._nodes.values())

    def _predictor(self, home: NodeWorkers) -> Worker | None:
        """A predictor of the node that holds the pixels; another if that node has none, or if it idles meanwhile."""
        near = _least_busy(home.predictors)
        if near is not None and len(near.jobs) < BLOCKS_PER_PREDICTOR:
            return near
        far = _least_busy(predictor for node in self._nodes.values() for predictor in node.predictors)
        most = BLOCKS_PER_PREDICTOR if near is None else 1
        return far if far is not None and len(far.jobs) < most else None

    def _reader(self, most_blocks: float) -> Worker | None:
        """A worker where the predictors have least to do; one elsewhere if predictors would go without."""
        nodes = [node for node in self._nodes.values() if node.predictors]
        short = sorted(
            (
                (blocks, number)
                for number, node in enumerate(nodes)
                if (blocks := node.blocks_per_predictor) < most_blocks
            ),
        )
        for _, number in short:
            if cpu_workers := nodes[number].idle_cpu_workers:
                return cpu_workers[0]
        starved = [nodes[number] for blocks, number in short if blocks < BLOCKS_PER_PREDICTOR]
        helpers = [node for node in self._nodes.values() if starved and not node.predictors]
        if not all(node.serves_blocks for node in starved):
            helpers += nodes
        return next((worker for node in helpers for worker in node.idle_cpu_workers), None)

    def _cpu_worker(self, home: NodeWorkers) -> Worker | None:
        """A worker of the node that holds the scores; without one, or if all there are long busy, the freest of all."""
        if home.serves_blocks:
            return next(iter(home.idle_cpu_workers), None)
        free = [
            (bool(node.predictors), -len(cpu_workers), cpu_workers)
            for node in self._nodes.values()
            if (cpu_workers := node.idle_cpu_workers)
        ]
        return min(free, key=lambda found: found[:2])[2][0] if free else None

    def _kind(self, worker: Worker) -> list[Worker]:
        node = self._nodes[worker.node_id]
        return node.predictors if worker.kind == PREDICTOR else node.cpu_workers


def _least_busy(workers: Iterable[Worker]) -> Worker | None:
    return min(workers, key=lambda worker: len(worker.jobs), default=None)
