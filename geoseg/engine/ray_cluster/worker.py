"""The actor class of all workers: it loads the model or compiles loops, and runs units of work."""

import os
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import ray

from geoseg import faults
from geoseg.config import FAULT_VARIABLE
from geoseg.engine.executor import Ref
from geoseg.engine.ray_cluster.worker_pool import PLANS_KEPT
from geoseg.model.bundle.bundle import Bundle
from geoseg.model.inference import Inference, Started
from geoseg.stages.stage import STAGES


class Process:
    """Runs one unit at a time, or two on a GPU: one is predicted while the other is copied."""

    def start(self, fault: str | None, model: tuple[Bundle, Inference] | None) -> tuple[Started, str]:
        """Load the bundle in a predictor, compile loops in a CPU worker; its `Started`, and the ids of its GPUs."""
        if fault is not None:
            os.environ[FAULT_VARIABLE] = fault
        started = Started(0)
        if model is None:
            from geoseg.stages.tracing import load_kernels  # noqa: PLC0415  only CPU workers trace

            load_kernels()
        else:
            from geoseg.model.load import start_predictor  # noqa: PLC0415  only predictors import torch

            self._predictor = start_predictor(*model)
            task = self._predictor.task
            started = Started(task.batch_size, task.network_bytes, task.warnings)
        return started, ",".join(ray.get_runtime_context().get_accelerator_ids().get("GPU", []))

    def run(self, name: str, attempt: int, plan: Sequence[Ref], args: Sequence[Any], *inputs: Any) -> Any:
        """Run a unit of the stage of this name; ``plan`` holds the reference to the plan of its scene."""
        stage = STAGES[name]
        with faults.attempt(attempt):
            return stage.function(
                *([self._predictor] if stage.needs_model else []), _fetch_plan(plan[0]), *args, *inputs
            )


@lru_cache(PLANS_KEPT)
def _fetch_plan(ref: Ref) -> Any:
    return ray.get(ref)
