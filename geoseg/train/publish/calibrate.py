"""Temperature of the logits from validation windows, so that the confidence is the share of right pixels.

Guo et al. 2017, On Calibration of Modern Neural Networks, arXiv:1706.04599.
"""

import copy
from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from geoseg.grid.legend import NODATA_CLASS

MAX_PIXELS = 400_000
"""Pixels from which the temperature is found, spread over the windows."""
LEAST, MOST = 0.05, 20.0
_TOLERANCE = 1e-3


def find_temperature(predicted: Iterable[tuple[NDArray[np.uint8], Tensor]], windows: int) -> float:
    """The temperature with the least negative log-likelihood.

    Args:
        predicted: Labels (N, H, W) and logits (N, K, H, W) of validation windows.
        windows: Number of windows.

    Returns:
        A number from 0.05 to 20, rounded to three digits; 1 if no pixel has a label.
    """
    kept: list[tuple[Tensor, Tensor]] = []
    for labels, logits in predicted:
        known = torch.from_numpy(labels.ravel() != NODATA_CLASS)
        flat = logits.movedim(1, -1).reshape(-1, logits.shape[1]).cpu()[known]
        own = torch.from_numpy(labels.ravel()).long()[known]
        every = max(1, len(own) * windows // (MAX_PIXELS * len(labels)))
        kept.append((flat[::every], own[::every]))
    if not sum(len(labels) for _, labels in kept):
        return 1.0
    logits, labels_of = (torch.cat(parts) for parts in zip(*kept, strict=True))

    def loss(log_temperature: float) -> float:
        return float(cross_entropy(logits / float(np.exp(log_temperature)), labels_of))

    found = minimize_scalar(loss, bounds=(np.log(LEAST), np.log(MOST)), method="bounded")
    return float(f"{np.exp(found.x):.3g}")


def divide_logits(network: nn.Module, temperature: float, example: Tensor) -> bool:
    """Divide the logits of a network by scaling its last layer, in place.

    Args:
        network: A network in evaluation mode.
        temperature: The divisor.
        example: Pixels to check it with, float32 (N, C, H, W).

    Returns:
        False, with the network unchanged, if that is not possible.
    """
    layers = [one for one in network.modules() if isinstance(one, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)]
    if temperature == 1 or not layers:
        return temperature == 1
    with torch.inference_mode():
        before = network(example) / temperature
        kept = copy.deepcopy(layers[-1].state_dict())
        for parameter in layers[-1].parameters():
            parameter.data = parameter.data / temperature
        scale = float(before.abs().max()) or 1.0
        if torch.allclose(network(example) / scale, before / scale, rtol=0, atol=_TOLERANCE):
            return True
        layers[-1].load_state_dict(kept)
    return False
