"""Settings of the forward pass."""

from dataclasses import dataclass
from typing import Literal

from geoseg.errors import SettingsError
from geoseg.grid.decision import Decision
from geoseg.model.bundle.bundle import Bundle
from geoseg.model.hardware import Hardware
from geoseg.model.patchwork.options import PLAIN, PatchOptions

Precision = Literal["fp32", "bf16"]
"""Data type of convolutions. Weights stay float32, scores int32."""


@dataclass(frozen=True, slots=True)
class Inference:
    """Settings of the forward pass. Each of them can change the bits of logits."""

    device: str
    """``cpu`` or ``cuda``."""
    patch_px: int
    """Side of a patch."""
    batch_size: int | None = None
    """Patches per forward pass, the last batch padded; None: chosen for the device."""
    threads: int = 1
    """CPU threads of the forward pass."""
    on_nonfinite: Literal["fail", "nodata"] = "fail"
    """Whether scaled pixels or logits that are NaN or infinite fail the scene or make their pixels nodata."""
    precision: Precision = "fp32"
    """Data type of convolutions."""
    options: PatchOptions = PLAIN
    """From the network to the probabilities of a patch."""
    decision: Decision | None = None
    """What is decided from the scores of a pixel; None for its class and confidence alone."""


@dataclass(frozen=True, slots=True)
class Started:
    """Properties of a predictor, known after its first batches."""

    batch_size: int
    """Patches per forward pass."""
    network_bytes: int = 0
    """GPU memory of the weights and the forward pass of one batch; 0 on a CPU."""
    warnings: tuple[str, ...] = ()
    """Warnings about the bundle from the first forward pass."""


def choose_precision(wanted: Literal["auto", "fp32", "bf16"], bundle: Bundle, hardware: Hardware) -> Precision:
    """Choose the data type of a bundle's convolutions; ``auto`` is bf16 if the hardware supports it.

    Raises:
        SettingsError: If the bundle's data type is fixed by its export and another one is set.
    """
    if bundle.file.artifact != "model.onnx":
        return ("bf16" if hardware.bf16 else "fp32") if wanted == "auto" else wanted
    if wanted == "bf16":
        raise SettingsError(
            f"run.precision=bf16, but {bundle.artifact} computes in what it was exported in. Set run.precision=auto, "
            "or export it in bfloat16."
        )
    return "fp32"


def check_options(options: PatchOptions, bundle: Bundle, patch_px: int) -> None:
    """Check that a bundle can be used with the options.

    Raises:
        SettingsError: If a scale gives no side that the network takes, or the output has no logits to divide.
    """
    options.sides_px(patch_px, bundle.file.size_multiple)
    if options.temperature != 1 and bundle.file.activation == "none":
        raise SettingsError(
            f"inference.temperature={options.temperature:g} divides logits, and {bundle.name} gives probabilities "
            "(geoseg:activation is none). Set it to 1, or export the model without its last activation."
        )
