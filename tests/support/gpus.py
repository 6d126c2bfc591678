"""GPUs that a cluster offers and no machine has: Ray counts them and hands them out, the work runs on the CPU."""

import torch

from geoseg.model import device


def pretend() -> None:
    """Let this process take its CPU for the GPU it was given."""
    device.open_device = lambda _: torch.device("cpu")
