"""Optimizer, learning rate and moving average of the weights."""

import math

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from geoseg.train_settings import OptimizerSettings

START_FACTOR, END_FACTOR = 1 / 25, 1e-4
"""Learning rate at the beginning and the end of a cycle, relative to the largest: the first is that of Smith 2018,
A disciplined approach to neural network hyper-parameters."""


def make_optimizer(network: nn.Module, settings: OptimizerSettings) -> Optimizer:
    """Build the optimizer; norms and biases have no weight decay."""
    groups = [
        {"params": [one for one in network.parameters() if one.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [one for one in network.parameters() if one.ndim <= 1], "weight_decay": 0.0},
    ]
    if settings.name == "sgd":
        return SGD(groups, settings.learning_rate, momentum=0.9, nesterov=True)
    return AdamW(groups, settings.learning_rate)


def set_learning_rate(optimizer: Optimizer, settings: OptimizerSettings, step: int, steps: int) -> float:
    """Set the learning rate of a step, a function of its number alone; returns it."""
    rate = settings.learning_rate * rate_factor(settings.schedule, settings.warmup_share, step, steps)
    for group in optimizer.param_groups:
        group["lr"] = rate
    return rate


def rate_factor(schedule: str, warmup_share: float, step: int, steps: int) -> float:
    """Learning rate of a step relative to the largest.

    Args:
        schedule: ``constant``; ``cosine``: linear rise, then half a cosine to 0; ``one-cycle``: both along cosines.
        warmup_share: Share of the steps in which it rises.
        step: Number of the step, from 0.
        steps: Number of all steps.
    """
    warmup = round(warmup_share * steps)
    if step < warmup:
        part = (step + 1) / warmup
        return START_FACTOR + (1 - START_FACTOR) * _half_cosine(part) if schedule == "one-cycle" else part
    if schedule == "constant":
        return 1.0
    part = (step - warmup) / max(1, steps - warmup)
    end = END_FACTOR if schedule == "one-cycle" else 0.0
    return 1 - (1 - end) * _half_cosine(part)


def _half_cosine(part: float) -> float:
    return (1 - math.cos(math.pi * part)) / 2


def make_average(network: nn.Module, settings: OptimizerSettings) -> AveragedModel | None:
    """Moving average of weights and buffers; None without one."""
    if not settings.ema_decay:
        return None
    average = get_ema_multi_avg_fn(settings.ema_decay)  # type: ignore[no-untyped-call]
    return AveragedModel(network, multi_avg_fn=average, use_buffers=True)


def clip(network: nn.Module, settings: OptimizerSettings) -> None:
    """Shorten the gradient to the largest norm."""
    if settings.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(network.parameters(), settings.clip_norm)
