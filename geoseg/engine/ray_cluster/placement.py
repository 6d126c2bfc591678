"""Which process gets which unit of work. Decides; starts nothing itself.

A block stays on one node, so that its pixels and scores never cross the network: it is read where the models have least
to do, predicted by a model of that node, and finished there. Work on what lies in the store goes to whoever is free.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from geoseg.engine.executor import Ref
from geoseg.engine.ray_cluster.worker_pool import PREDICTOR, Worker
from geoseg.engine.retries import SCENE_STAGES
from geoseg.stages.scoring import predict_block, read_block

BLOCKS_PER_MODEL = 2
"""One in work, and one ready beside it."""


class Held(NamedTuple):
    """A large value, and the node whose memory holds it."""

    ref: Ref
    node_id: str


@dataclass(slots=True)
class Team:
    """The processes of one node that are ready for work."""

    models: list[Worker] = field(default_factory=list)
    hands: list[Worker] = field(default_factory=list)

    @property
    def blocks_per_model(self) -> float:
        """Blocks that are being read or predicted here; the node has models."""
        reading = sum(job.stage is read_block for hand in self.hands for job in hand.jobs)
        return (reading + sum(len(model.jobs) for model in self.models)) / len(self.models)

    @property
    def idle_cpu_workers(self) -> list[Worker]:
        """Hands with nothing to do."""
        return [hand for hand in self.hands if not hand.jobs]

    @property
    def serves_blocks(self) -> bool:
        """Tell whether a hand is free, or soon will be: work on a whole scene may take an hour."""
        return any(all(job.stage not in SCENE_STAGES for job in hand.jobs) for hand in self.hands)


class Placement:
    """The processes that are ready, node by node."""

    def __init__(self) -> None:
        self._nodes: defaultdict[str, Team] = defaultdict(Team)

    def join(self, worker: Worker) -> None:
        """Give a process work from now on."""
        self._kind(worker).append(worker)

    def leave(self, worker: Worker) -> None:
        """Give it no more, if it was given any."""
        if worker in self._kind(worker):
            self._kind(worker).remove(worker)

    def choose(self, stage: Callable[..., Any], home: str | None, most_blocks: float) -> Worker | None:
        """The process for a unit; None if it should wait.

        Args:
            stage: What is to be done.
            home: The node that holds what the unit needs; None if that lies in the store.
            most_blocks: Blocks that may be read or predicted on a node for each of its models.
        """
        if stage is predict_block:
            return self._model(self._nodes.get(home or "", Team()))
        if stage is read_block:
            return self._reader(most_blocks)
        return self._hand(self._nodes.get(home or "", Team()))

    def has_idle_cpu_worker(self) -> bool:
        """Tell whether a process that holds no model has nothing to do."""
        return any(team.idle_cpu_workers for team in self._nodes.values())

    def _model(self, home: Team) -> Worker | None:
        """A model of the node that holds the pixels; another if that node has none, or if it idles meanwhile."""
        near = _least_busy(home.models)
        if near is not None and len(near.jobs) < BLOCKS_PER_MODEL:
            return near
        far = _least_busy(model for team in self._nodes.values() for model in team.models)
        most = BLOCKS_PER_MODEL if near is None else 1
        return far if far is not None and len(far.jobs) < most else None

    def _reader(self, most_blocks: float) -> Worker | None:
        """A hand where the models have least to do; one elsewhere if models would go without."""
        teams = [team for team in self._nodes.values() if team.models]
        needy = sorted(
            ((blocks, number) for number, team in enumerate(teams) if (blocks := team.blocks_per_model) < most_blocks),
        )
        for _, number in needy:
            if hands := teams[number].idle_cpu_workers:
                return hands[0]
        hungry = [teams[number] for blocks, number in needy if blocks < BLOCKS_PER_MODEL]
        helpers = [team for team in self._nodes.values() if hungry and not team.models]
        if not all(team.serves_blocks for team in hungry):
            helpers += teams
        return next((hand for team in helpers for hand in team.idle_cpu_workers), None)

    def _hand(self, home: Team) -> Worker | None:
        """A hand of the node that holds the scores; without one, or if all there are long busy, the freest of all."""
        if home.serves_blocks:
            return next(iter(home.idle_cpu_workers), None)
        free = [
            (bool(team.models), -len(hands), hands) for team in self._nodes.values() if (hands := team.idle_cpu_workers)
        ]
        return min(free, key=lambda found: found[:2])[2][0] if free else None

    def _kind(self, worker: Worker) -> list[Worker]:
        team = self._nodes[worker.node_id]
        return team.models if worker.kind == PREDICTOR else team.hands


def _least_busy(workers: Iterable[Worker]) -> Worker | None:
    return min(workers, key=lambda worker: len(worker.jobs), default=None)
