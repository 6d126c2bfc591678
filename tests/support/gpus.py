"""Simulated GPUs: Ray counts and assigns them, and the work runs on the CPU.

The functions are hooks that Ray calls in each new worker process.
"""

import os
from dataclasses import replace
from typing import Any

import ray
import torch

from geoseg import faults
from geoseg.config import FAULT_VARIABLE
from geoseg.model import device, hardware, load

_find_hardware, _start_predictor = hardware.find_hardware, load.start_predictor
GPU_RULES = "RULES_OF_GPU_{}"
"""Variable with the fault rules of predictors on one GPU, for `break_gpus`."""


def pretend() -> None:
    """Let this process use its CPU as the GPU that Ray assigned to it."""
    device.open_device = load.open_device = lambda _: torch.device("cpu")
    hardware.find_hardware = lambda name: replace(_find_hardware("cpu"), device=name, memory_bytes=16 << 30)


def break_gpus() -> None:
    """As `pretend`, with other faults on each GPU. When a predictor has loaded the model, it is at ``load:end:-``."""
    pretend()

    def start_predictor(*model: Any) -> Any:
        predictor = _start_predictor(*model)
        (gpu,) = ray.get_runtime_context().get_accelerator_ids()["GPU"]
        os.environ[FAULT_VARIABLE] = os.environ[GPU_RULES.format(gpu)]
        faults.hit("load", "end")
        return predictor

    load.start_predictor = start_predictor
