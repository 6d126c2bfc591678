"""The device of the forward pass."""

import torch

from geoseg.errors import SettingsError


def open_device(name: str) -> torch.device:
    """Open ``cpu`` or ``cuda``. Tests of clusters with simulated GPUs replace this function.

    Raises:
        SettingsError: If this process has no such device.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise SettingsError("device=cuda, but torch sees no CUDA device here. Set run.device=cpu.")
    return torch.device(name)
