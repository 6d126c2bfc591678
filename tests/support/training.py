"""A small training set whose classes differ by colour and texture, and settings that train on it in seconds."""

from pathlib import Path
from typing import Any

import numpy as np
from rasterio.transform import from_origin

from geoseg.train_settings import TrainSettings
from tests.support.scenes import write_scene

CLASSES = [{"name": "water", "labels": [1]}, {"name": "field", "labels": [2]}, {"name": "town", "labels": [7]}]
VALUES = np.array([1, 2, 7], np.uint8)
"""Values of the classes in the labels."""
PIXEL_M = 10
COLOURS = np.array([[300, 500, 200], [900, 1500, 700], [2000, 1900, 1800]])


def fields(height: int, width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (3, H, W) uint16 and class ids (H, W) of fields of 12 x 12 pixels."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 3, (-(-height // 12), -(-width // 12)))
    ids = np.kron(coarse, np.ones((12, 12), int))[:height, :width]
    pixels = COLOURS[ids].transpose(2, 0, 1) + rng.normal(0, 150, (3, height, width))
    return np.clip(pixels, 1, None).astype(np.uint16), ids


def write_pair(
    folder: Path, name: str, *, size: tuple[int, int] = (96, 96), seed: int = 0, east_px: int = 0, **profile: Any
) -> tuple[Path, Path]:
    """Write a scene and its labels, ``east_px`` pixels to the east of the first one."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels, ids = fields(*size, seed)
    transform = from_origin(480_000 + east_px * PIXEL_M, 5_480_000, PIXEL_M, PIXEL_M)
    scene = write_scene(folder / f"{name}.tif", pixels, transform=transform, **profile)
    labels = write_scene(folder / f"{name}_labels.tif", VALUES[ids][None], transform=transform, **profile)
    return scene, labels


def training_set(folder: Path, scenes: int = 4) -> tuple[list[str], list[str]]:
    """Paths of scenes that lie beside each other, and of their labels."""
    pairs = [write_pair(folder, f"scene{number}", seed=number, east_px=96 * number) for number in range(scenes)]
    return [str(scene) for scene, _ in pairs], [str(labels) for _, labels in pairs]


def settings(scenes: list[str], labels: list[str], output: Path, /, **sections: Any) -> TrainSettings:
    """Settings of a training of a few seconds; sections such as ``run={"epochs": 1}`` are merged with the defaults."""
    content: dict[str, Any] = {
        "scenes": scenes,
        "labels": labels,
        "classes": CLASSES,
        "output": str(output),
        "network": {"architecture": "unet", "arguments": {"width": 4, "depth": 1}},
        "split": {"cell_px": 48, "guard_px": 4, "validation_share": 0.2, "test_share": 0.2},
        "data": {"patch_px": 32},
        "augment": {"zoom": 0.0},
        "loss": {"terms": {"cross-entropy": 1.0}},
        "optimizer": {"learning_rate": 0.02, "ema_decay": 0.8},
        "run": {"epochs": 3, "steps_per_epoch": 12, "batch_size": 4, "precision": "fp32", "threads": 1},
    }
    for key, value in sections.items():
        content[key] = (
            {**content[key], **value} if isinstance(value, dict) and isinstance(content.get(key), dict) else value
        )
    return TrainSettings.model_validate(content)
