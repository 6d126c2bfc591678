"""The code that runs in an actor: load the model, keep plans, run units of work."""

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

Message = list[Any]
PLAN_TIMEOUT_S = 60.0


class Process:
    """Runs one unit at a time, or two on a GPU: one is predicted while the other is copied."""

    def __init__(self) -> None:
        self._plans: dict[str, ScenePlan] = {}
        self._plans_changed = Condition()

    def load(self, fault: str | None, model: tuple[Bundle, Inference] | None) -> Started:
        """Load the bundle in a predictor, compile loops in a CPU worker. The driver gets exceptions unchanged."""
        if fault is not None:
            os.environ[FAULT_VARIABLE] = fault
        if model is None:
            from geoseg.stages.tracing import load_kernels  # noqa: PLC0415  only CPU workers trace

            load_kernels()
            return Started(0)
        from geoseg.model.load import start_predictor  # noqa: PLC0415  only predictors import torch

        self._predictor = start_predictor(*model)
        task = self._predictor.task
        return Started(task.batch_size, task.network_bytes, task.warnings)

    def add_plan(self, plan: ScenePlan) -> None:
        """Keep the plan of a scene for later units."""
        with self._plans_changed:
            while len(self._plans) >= PLANS_KEPT:
                del self._plans[next(iter(self._plans))]
            self._plans[plan.scene.scene_id] = plan
            self._plans_changed.notify_all()

    def run(self, message: Message, *inputs: Any) -> Any:
        """Run a unit, described by `to_message`, on its inputs."""
        name, attempt, scene_id, place, args = message
        with self._plans_changed:
            # The plan was sent before the unit; where units overlap, another thread may still be storing it.
            self._plans_changed.wait_for(lambda: scene_id in self._plans, PLAN_TIMEOUT_S)
            stage, plan = STAGES[name], self._plans[scene_id]
        args = [plan, *([] if place is None else [plan.tiling.block(*place)]), *args, *inputs]
        with faults.attempt(attempt):
            return stage.function(*([self._predictor] if stage.needs_model else []), *args)


def to_message(unit: Unit) -> Message:
    """A unit without plan and inputs, as numbers and strings: these are cheaper to pickle than functions and blocks."""
    place, args = None, list(unit.args)
    if args and isinstance(args[0], Block):
        block = args.pop(0)
        place = [block.row, block.col]
    return [unit.stage.name, unit.attempt, unit.plan.scene.scene_id, place, args]
