"""Simulated GPUs: Ray counts and assigns them, and the work runs on the CPU."""

from dataclasses import replace

import torch

from geoseg.model import device, hardware

_look = hardware.find_hardware


def pretend() -> None:
    """Let this process take its CPU for the GPU it was given."""
    device.open_device = lambda _: torch.device("cpu")
    hardware.find_hardware = lambda name: replace(_look("cpu"), device=name, memory_bytes=16 << 30)
