"""Losses over labelled pixels. Dice, focal and Lovasz are those of segmentation-models-pytorch."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, max_pool2d

from geoseg.grid.legend import NODATA_CLASS
from geoseg.model.zoo.extra import import_extra
from geoseg.train_settings import LossSettings

LossOf = Callable[[Tensor, Tensor], Tensor]
"""From logits, float32 (N, K, H, W), and labels, int64 (N, H, W) with 255 for none, to a number."""


def make_loss(settings: LossSettings, weights: Tensor | None) -> LossOf:
    """The weighted sum of the losses.

    Args:
        settings: The terms.
        weights: Weights of the classes in the cross entropy, float32 (K,), or None.

    Raises:
        SettingsError: If a term needs a package that is not installed.
    """
    terms = {name: (_make(name, settings, weights), weight) for name, weight in settings.terms.items()}

    def loss_of(logits: Tensor, labels: Tensor) -> Tensor:
        if not (labels != NODATA_CLASS).any():
            return logits.sum() * 0  # a batch without a label changes nothing
        return torch.stack([weight * term(logits, labels) for term, weight in terms.values()]).sum()

    return loss_of


def class_weights(settings: LossSettings, pixels: Mapping[str, int]) -> list[float] | None:
    """Weights of the classes with a mean of 1 over the labelled pixels.

    Args:
        settings: none, balanced, or weights by name; classes that are not named have 1.
        pixels: Training pixels of each class.
    """
    if settings.class_weights == "none":
        return None
    if settings.class_weights == "balanced":
        raw = [max(count, 1) ** -0.5 for count in pixels.values()]
    else:
        raw = [settings.class_weights.get(name, 1.0) for name in pixels]
    total = sum(pixels.values())
    mean = sum(weight * count for weight, count in zip(raw, pixels.values(), strict=True)) / total
    return [weight / mean for weight in raw]


def _make(name: str, settings: LossSettings, weights: Tensor | None) -> LossOf:
    if name == "cross-entropy":
        return nn.CrossEntropyLoss(weights, ignore_index=NODATA_CLASS, label_smoothing=settings.label_smoothing)
    if name == "boundary":
        return lambda logits, labels: _boundary(logits, labels, weights, settings.boundary_px)
    losses = import_extra("segmentation_models_pytorch.losses")
    kinds: dict[str, Callable[[], LossOf]] = {
        "dice": lambda: losses.DiceLoss("multiclass", ignore_index=NODATA_CLASS),
        "focal": lambda: losses.FocalLoss("multiclass", ignore_index=NODATA_CLASS),
        "lovasz": lambda: losses.LovaszLoss("multiclass", ignore_index=NODATA_CLASS),
    }
    return kinds[name]()


def _boundary(logits: Tensor, labels: Tensor, weights: Tensor | None, width_px: int) -> Tensor:
    """Cross entropy of the pixels within ``width_px`` rows and columns of a pixel of another class."""
    near = labels.where(near_other_class(labels, width_px), NODATA_CLASS)
    if not (near != NODATA_CLASS).any():
        return logits.sum() * 0
    return cross_entropy(logits, near, weights, ignore_index=NODATA_CLASS)


def near_other_class(labels: Tensor, width_px: int) -> Tensor:
    """True where another class lies within ``width_px`` rows and columns, bool (N, H, W); 255 is no class."""
    known = labels != NODATA_CLASS
    side = 2 * width_px + 1
    highest = max_pool2d(torch.where(known, labels, -1).float(), side, 1, width_px)
    lowest = -max_pool2d(-torch.where(known, labels, NODATA_CLASS).float(), side, 1, width_px)
    return known & (highest != lowest)
