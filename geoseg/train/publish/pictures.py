"""Pictures of a training: curves, and examples of predictions."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from geoseg.grid.legend import NODATA_CLASS, Legend

_METADATA = {"Software": None}
"""No version of matplotlib in the pictures: same training, same bytes."""
PERCENTILES = (2, 98)
EXAMPLES = 6

Example = tuple[NDArray[np.number], NDArray[np.uint8], NDArray[np.uint8]]
"""Pixels (C, H, W), labels (H, W) and predicted classes (H, W) of a window."""


def draw_curves(history: Sequence[dict[str, float]], path: Path) -> None:
    """Draw loss, mIoU and learning rate over the epochs."""
    epochs = [entry["epoch"] for entry in history]
    figure = Figure(figsize=(7, 7), layout="constrained", dpi=120)
    for axes, key, label in zip(
        figure.subplots(3, 1, sharex=True),
        ("loss", "mean_iou", "learning_rate"),
        ("training loss", "validation mIoU", "learning rate"),
        strict=True,
    ):
        axes.plot(epochs, [entry[key] for entry in history], marker="." if len(epochs) < 60 else None)
        axes.set_ylabel(label)
        axes.grid(visible=True, alpha=0.3)
    best = max(history, key=lambda entry: entry["mean_iou"])
    figure.axes[1].axvline(best["epoch"], color="grey", linestyle="--", label=f"best: {best['mean_iou']:.3f}")
    figure.axes[1].legend()
    figure.axes[2].set_xlabel("epoch")
    figure.savefig(path, metadata=_METADATA)


def draw_examples(
    examples: Sequence[Example],
    shown_bands: tuple[int, ...],
    legend: Legend,
    path: Path,
) -> None:
    """Draw windows: the scene, its labels, and the predicted classes.

    Args:
        examples: The windows, at least one.
        shown_bands: Indices of the bands shown as red, green and blue, or of one band.
        legend: Colours of the classes.
        path: The picture to write.
    """
    colours = np.full((256, 3), 255, np.uint8)
    for entry in legend.classes:
        colours[entry.id] = entry.color
    figure = Figure(figsize=(8, 2.7 * len(examples) + 0.6), layout="constrained", dpi=110)
    rows = figure.subplots(len(examples), 3, squeeze=False)
    for axes, (pixels, labels, classes) in zip(rows, examples, strict=True):
        pictures = (_stretched(pixels[list(shown_bands)]), colours[labels], colours[classes])
        for one, picture, title in zip(axes, pictures, ("scene", "labels (white: none)", "prediction"), strict=True):
            one.imshow(picture)
            one.set_axis_off()
            if axes is rows[0]:
                one.set_title(title)
    handles = [Patch(color=np.divide(entry.color, 255), label=entry.name) for entry in legend.classes]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(6, len(handles)))
    figure.savefig(path, metadata=_METADATA)


def bands_to_show(names: Sequence[str]) -> tuple[int, ...]:
    """Red, green and blue if the bands are named so; else the first three, or the first."""
    plain = [name.lower() for name in names]
    if {"red", "green", "blue"} <= {*plain}:
        return tuple(plain.index(colour) for colour in ("red", "green", "blue"))
    return (0, 1, 2) if len(names) >= 3 else (0,)


def _stretched(pixels: NDArray[np.number]) -> NDArray[np.float64]:
    """Values between two percentiles as 0..1, shape (H, W, 3)."""
    low, high = np.percentile(pixels, PERCENTILES, axis=(1, 2), keepdims=True)
    scaled = np.clip((pixels - low) / np.maximum(high - low, 1e-9), 0, 1)
    return np.moveaxis(np.broadcast_to(scaled, (3, *scaled.shape[1:])), 0, -1)


def known_share(labels: NDArray[np.uint8]) -> float:
    """Share of a window that has labels."""
    return float((labels != NODATA_CLASS).mean())
