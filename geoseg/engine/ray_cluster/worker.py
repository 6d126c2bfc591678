"""What a process of a cluster does with the units of work it is given."""

import os
from threading import Condition
from typing import Any

from geoseg import faults
from geoseg.config import FAULT_VARIABLE
from geoseg.engine.executor import Unit
from geoseg.engine.ray_cluster.worker_pool import PLANS_KEPT
from geoseg.grid.tiling import Block
from geoseg.model.bundle.bundle import Bundle
from geoseg.model.inference import Inference, Started
from geoseg.plan.scene_plan import ScenePlan
from geoseg.stages.stage import STAGES

Words = list[Any]
LEARN_TIMEOUT_S = 60.0


class Process:
    """Takes units one after the other, or two at a time where a GPU computes one and copies the other."""

    def __init__(self) -> None:
        self._plans: dict[str, ScenePlan] = {}
        self._learning = Condition()

    def load(self, fault: str | None, model: tuple[Bundle, Inference] | None) -> Started:
        """Load the bundle, if it is to predict; what the predictor says of itself. What it raises arrives as itself."""
        if fault is not None:
            os.environ[FAULT_VARIABLE] = fault
        if model is None:
            from geoseg.stages.tracing import load_kernels  # noqa: PLC0415  and compiled loops where none is

            load_kernels()
            return Started(0)
        from geoseg.model.load import start_predictor  # noqa: PLC0415  torch is imported where a model is

        self._predictor = start_predictor(*model)
        task = self._predictor.task
        return Started(task.batch_size, task.network_bytes, task.warnings)

    def learn(self, plan: ScenePlan) -> None:
        """Keep the plan of a scene for the units that follow."""
        with self._learning:
            while len(self._plans) >= PLANS_KEPT:
                del self._plans[next(iter(self._plans))]
            self._plans[plan.scene.scene_id] = plan
            self._learning.notify_all()

    def run(self, words: Words, *inputs: Any) -> Any:
        """Run a unit, see `in_words`, on its inputs."""
        name, attempt, scene_id, place, args = words
        with self._learning:
            # It was told before; where units overlap, a thread may still be at it.
            self._learning.wait_for(lambda: scene_id in self._plans, LEARN_TIMEOUT_S)
            stage, plan = STAGES[name], self._plans[scene_id]
        args = [plan, *([] if place is None else [plan.tiling.block(*place)]), *args, *inputs]
        with faults.attempt(attempt):
            return stage.function(*([self._predictor] if stage.needs_model else []), *args)


def in_words(unit: Unit) -> Words:
    """A unit without plan and inputs, as numbers and texts where it can: to pickle functions and blocks costs more."""
    place, args = None, list(unit.args)
    if args and isinstance(args[0], Block):
        block = args.pop(0)
        place = [block.row, block.col]
    return [unit.stage.name, unit.attempt, unit.plan.scene.scene_id, place, args]
