"""Train the model of `geoseg demo` from scratch: ``python -m geoseg.demo.train --out FOLDER``.

The landscapes of training, of validation and of the demo have different seeds. The same command gives the same bytes on
the same kind of CPU; other kinds may round differently.
"""

import argparse
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor, nn

from geoseg.demo.landscape import BANDS, LEGEND, landscape
from geoseg.evaluate.counts import Counts, count_pairs
from geoseg.evaluate.metrics import Metrics, compute_metrics
from geoseg.grid.legend import NODATA_CLASS
from geoseg.grid.window import Window
from geoseg.model.zoo.unet import UNet

TRAINING_SEEDS = range(1000, 1024)
VALIDATION_SEED = 2000
ARGUMENTS = {"in_channels": len(BANDS), "classes": len(LEGEND), "width": 12, "depth": 3}
PATCH_PX = 256

Pair = tuple[NDArray[np.uint16], NDArray[np.uint8]]
"""Pixels, shape (4, H, W), and class ids, shape (H, W), 255 where there is no data."""

_SCENE_PX, _VALIDATION_PX = 1024, 2048
_BATCH = 4
_LEARNING_RATE = 4e-3
_LOG = logging.getLogger(__name__)


def main() -> None:
    """Generate landscapes, train, validate, and write the bundle."""
    parser = argparse.ArgumentParser(description="Train the model of `geoseg demo` on synthetic landscapes.")
    parser.add_argument("--out", type=Path, required=True, help="folder of the bundle")
    parser.add_argument("--steps", type=int, default=1500, help=f"batches of {_BATCH} patches")
    parser.add_argument("--seed", type=int, default=0, help="seed of the weights and of the choice of patches")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)

    scenes = [_scene(seed, _SCENE_PX) for seed in TRAINING_SEEDS]
    valid = np.concatenate([pixels[:, truth != NODATA_CLASS] for pixels, truth in scenes], axis=1)
    scaling = Scaling(valid.mean(axis=1, dtype=np.float64).round(1), valid.std(axis=1, dtype=np.float64).round(1))
    model = train(scenes, scaling, steps=options.steps, seed=options.seed)
    metrics = evaluate(model, _scene(VALIDATION_SEED, _VALIDATION_PX), scaling)
    _LOG.info("seed %d: accuracy %.4f, mIoU %.4f", VALIDATION_SEED, metrics.pixel_accuracy, metrics.mean_iou)
    for entry in metrics.classes:
        _LOG.info("  %-9s IoU %.4f", entry.name, entry.iou)
    write_bundle(model, options.out, scaling)


class Scaling(NamedTuple):
    """Mean and standard deviation of each band, shape (4,)."""

    mean: NDArray[np.float64]
    stddev: NDArray[np.float64]


def train(scenes: list[Pair], scaling: Scaling, *, steps: int, seed: int) -> UNet:
    """Train a new network on rotated and mirrored patches of the scenes.

    Args:
        scenes: Scenes of the same size.
        scaling: As of `normalise`.
        steps: Number of batches.
        seed: Seed of the weights and of the choice of patches.
    """
    torch.manual_seed(seed)
    choice = np.random.default_rng(seed)
    model = UNet(**ARGUMENTS)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(model.parameters(), lr=_LEARNING_RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, total_steps=steps, pct_start=0.1)
    loss_of = nn.CrossEntropyLoss(ignore_index=NODATA_CLASS)
    for step in range(steps):
        patches = [_patch(scenes[choice.integers(len(scenes))], choice) for _ in range(_BATCH)]
        pixels = torch.stack([normalise(pixels, truth, scaling) for pixels, truth in patches])
        truth = torch.from_numpy(np.stack([truth for _, truth in patches]).astype(np.int64))
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(pixels.contiguous(memory_format=torch.channels_last))
        loss = loss_of(logits.float(), truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 50 == 0:
            _LOG.info("step %d of %d: loss %.4f", step, steps, loss.item())
    model.eval()
    return model


def normalise(pixels: NDArray[np.uint16], truth: NDArray[np.uint8], scaling: Scaling) -> Tensor:
    """Scale to mean 0 and standard deviation 1, float32 of shape (4, H, W); 0 where there is no data."""
    scaled = (pixels - scaling.mean[:, None, None]) / scaling.stddev[:, None, None]
    return torch.from_numpy(np.where(truth == NODATA_CLASS, 0.0, scaled).astype(np.float32))


def evaluate(model: nn.Module, scene: Pair, scaling: Scaling) -> Metrics:
    """Agreement of the network's classes with the truth."""
    with torch.inference_mode():
        predicted = model(normalise(*scene, scaling)[None])[0].argmax(0).numpy()
    counts = replace(Counts.zero(len(LEGEND)), confusion=count_pairs(scene[1], predicted, len(LEGEND)))
    return compute_metrics(counts, LEGEND.names)


def write_bundle(model: UNet, out: Path, scaling: Scaling) -> None:
    """Write ``model.json`` and ``weights.safetensors`` into the folder ``out``, and create it if it does not exist."""
    out.mkdir(parents=True, exist_ok=True)
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    (out / "weights.safetensors").write_bytes(save(weights))
    parameters = sum(value.numel() for value in model.parameters())
    description = _description(parameters, scaling)
    (out / "model.json").write_text(json.dumps(description, indent=2, sort_keys=False) + "\n")


def _scene(seed: int, size_px: int) -> Pair:
    shape = (size_px, size_px)
    return landscape(Window(0, 0, *shape), shape=shape, seed=seed)


def _patch(scene: Pair, choice: np.random.Generator) -> Pair:
    """Cut a random patch, rotate it by a multiple of 90 degrees and mirror half of the patches."""
    pixels, truth = scene
    row, col = choice.integers(_SCENE_PX - PATCH_PX + 1, size=2)
    turns, mirrored = int(choice.integers(4)), choice.integers(2)
    at = (..., slice(row, row + PATCH_PX), slice(col, col + PATCH_PX))
    pixels, truth = np.rot90(pixels[at], turns, axes=(1, 2)), np.rot90(truth[at], turns)
    return (pixels[..., ::-1], truth[..., ::-1]) if mirrored else (pixels, truth)


def _description(parameters: int, scaling: Scaling) -> dict[str, Any]:
    """Build ``model.json``, with the property names of the STAC Machine Learning Model extension."""
    classes = [
        {"value": entry.id, "name": entry.name, "color_hint": "{:02X}{:02X}{:02X}".format(*entry.color)}
        for entry in LEGEND.classes
    ]
    return {
        "mlm:name": "geoseg-demo-landscape",
        "mlm:architecture": "unet",
        "mlm:framework": "pytorch",
        "mlm:tasks": ["semantic-segmentation"],
        "mlm:total_parameters": parameters,
        "mlm:input": [
            {
                "name": "pixels",
                "bands": list(BANDS),
                "input": {
                    "shape": [-1, len(BANDS), PATCH_PX, PATCH_PX],
                    "dim_order": ["batch", "bands", "height", "width"],
                    "data_type": "float32",
                },
                "norm_by_channel": True,
            }
        ],
        "mlm:output": [
            {
                "name": "classes",
                "tasks": ["semantic-segmentation"],
                "result": {
                    "shape": [-1, len(classes), PATCH_PX, PATCH_PX],
                    "dim_order": ["batch", "classes", "height", "width"],
                    "data_type": "float32",
                },
                "classification:classes": classes,
            }
        ],
        "geoseg:artifact": "weights.safetensors",
        "geoseg:arguments": ARGUMENTS,
        "geoseg:scaling": [{"type": "z-score", "mean": scaling.mean.tolist(), "stddev": scaling.stddev.tolist()}],
        "geoseg:nodata_fill": 0.0,
        "geoseg:overlap_px": 64,
        "geoseg:size_multiple": 2 ** ARGUMENTS["depth"],
        "geoseg:activation": "softmax",
        "license": "Apache-2.0",
        "description": "Land use of the synthetic landscape of `geoseg demo`. It knows no real imagery.",
    }


if __name__ == "__main__":
    main()
