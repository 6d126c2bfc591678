"""What a process of a cluster does with the units of work it is given."""

import os
from pkgutil import resolve_name
from typing import Any

from geoseg.config import FAULT_VARIABLE
from geoseg.grid.tiling import Block
from geoseg.model.bundle import Bundle
from geoseg.model.inference import Inference
from geoseg.run import faults
from geoseg.run.executor import Unit
from geoseg.run.plan import ScenePlan
from geoseg.run.roster import PLANS_KEPT
from geoseg.run.stages import predict_block

Words = list[Any]


class Process:
    """Takes units one after the other."""

    def __init__(self) -> None:
        self._plans: dict[str, ScenePlan] = {}

    def load(self, fault: str | None, model: tuple[Bundle, Inference] | None) -> int:
        """Load the bundle, if it is to predict; the batch size. What it raises arrives as itself."""
        if fault is not None:
            os.environ[FAULT_VARIABLE] = fault
        if model is None:
            return 0
        from geoseg.model.predictor import Predictor  # noqa: PLC0415  torch is imported where a model is

        self._predictor = Predictor(*model)
        return self._predictor.batch_size

    def learn(self, plan: ScenePlan) -> None:
        """Keep the plan of a scene for the units that follow."""
        while len(self._plans) >= PLANS_KEPT:
            del self._plans[next(iter(self._plans))]
        self._plans[plan.scene.scene_id] = plan

    def run(self, words: Words, *inputs: Any) -> Any:
        """Run a unit, see `in_words`, on its inputs."""
        name, attempt, scene_id, place, args = words
        stage, plan = resolve_name(name), self._plans[scene_id]
        args = [plan, *([] if place is None else [plan.tiling.block(*place)]), *args, *inputs]
        with faults.attempt(attempt):
            return stage(self._predictor, *args) if stage is predict_block else stage(*args)


def in_words(unit: Unit) -> Words:
    """A unit without plan and inputs, as numbers and texts where it can: to pickle functions and blocks costs more."""
    place, args = None, list(unit.args)
    if args and isinstance(args[0], Block):
        block = args.pop(0)
        place = [block.row, block.col]
    name = f"{unit.stage.__module__}:{unit.stage.__qualname__}"
    return [name, unit.attempt, unit.plan.scene.scene_id, place, args]
