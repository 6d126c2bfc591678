"""A conditional random field on the probabilities of a patch: similar pixels near each other get the same class.

Mean field with messages from a window around each pixel, as in ConvCRF: Teichmann & Cipolla 2018, arXiv:1805.04777.
The two kernels are those of Kraehenbuehl & Koltun 2011, arXiv:1210.5644: one of appearance and one of smoothness. As in
the code of ConvCRF, appearance has no spatial term, since the window bounds the distance. Each kernel is divided by its
sum over the window, so that its weight is the largest number by which it can raise a logit.
"""

import math
from itertools import product

import torch
from torch import Tensor

from geoseg.model.patchwork.options import Crf

LEAST = 2.0**-20
"""Smallest probability, that of a score of 1; its logarithm is finite."""


def refine(probabilities: Tensor, pixels: Tensor, crf: Crf) -> Tensor:
    """Run the mean field on a patch.

    From ``Q = P`` each iteration computes, for pixel i and class l with the pixels j != i of its window in the patch::

        m(i, l) = sum over kernels k of  weight_k * sum_j k(i, j) * Q(j, l) / sum_j k(i, j)
        Q(i, l) = P(i, l) * exp(m(i, l)) / sum over all classes

        appearance(i, j) = exp(-mean over bands (x_i - x_j)**2 / (2 * appearance_sd**2))
        smoothness(i, j) = exp(-distance(i, j)**2 / (2 * smoothness_px**2))

    Args:
        probabilities: P, float32 of shape (C, P, P). A pixel with NaN sends no message and stays NaN.
        pixels: The scaled pixels x, float32 of shape (B, P, P).
        crf: Window, kernels and iterations.

    Returns:
        Q, float32 of shape (C, P, P).
    """
    unknown = torch.isnan(probabilities).any(0)
    unary = torch.nan_to_num(probabilities).clamp_(min=LEAST).log_()
    windows = _windows(crf.radius_px, *probabilities.shape[1:])
    kernel = _kernel(pixels, windows, crf)
    mean = torch.softmax(unary, 0).masked_fill_(unknown, 0)
    message = torch.empty_like(unary)
    for _ in range(crf.iterations):
        message.zero_()
        for weights, (_, to, sent) in zip(kernel, windows, strict=True):
            message[:, *to].addcmul_(mean[:, *sent], weights[to])
        mean = torch.softmax(message.add_(unary), 0).masked_fill_(unknown, 0)
    return mean.masked_fill_(unknown, torch.nan)


_Part = tuple[slice, slice]


def _windows(radius: int, height: int, width: int) -> list[tuple[float, _Part, _Part]]:
    """The steps of a window: squared length, the pixels that have such a neighbour, and these neighbours."""
    steps = [step for step in product(range(-radius, radius + 1), repeat=2) if step != (0, 0)]
    parts = []
    for down, right in steps:
        to = slice(max(0, -down), height - max(0, down)), slice(max(0, -right), width - max(0, right))
        sent = slice(max(0, down), height + min(0, down)), slice(max(0, right), width + min(0, right))
        if abs(down) < height and abs(right) < width:
            parts.append((float(down**2 + right**2), to, sent))
    return parts


def _kernel(pixels: Tensor, windows: list[tuple[float, _Part, _Part]], crf: Crf) -> Tensor:
    """Weight of the message of each step of the window to each pixel, shape (steps, P, P)."""
    appearance = torch.zeros((len(windows), *pixels.shape[1:]), device=pixels.device)
    smoothness = torch.zeros_like(appearance)
    for place, (squared_px, to, sent) in enumerate(windows):
        squared = (pixels[:, *to] - pixels[:, *sent]).square_().mean(0)
        appearance[place][to] = squared.mul_(-0.5 / crf.appearance_sd**2).exp_()
        smoothness[place][to] = math.exp(-0.5 * squared_px / crf.smoothness_px**2)
    for kernel, weight in ((appearance, crf.appearance), (smoothness, crf.smoothness)):
        # Where no neighbour is similar, all terms are 0, and so is their sum.
        kernel.div_(kernel.sum(0).clamp_(min=torch.finfo(torch.float32).tiny)).mul_(weight)
    return appearance.add_(smoothness)
