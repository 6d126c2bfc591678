"""How the forward pass runs."""

from dataclasses import dataclass
from typing import Literal

from geoseg.errors import SettingsError
from geoseg.model.bundle.bundle import Bundle
from geoseg.model.hardware import Hardware

Precision = Literal["fp32", "bf16"]
"""What convolutions compute in. Weights and scores keep float32's and int32's accuracy."""


@dataclass(frozen=True, slots=True)
class Inference:
    """How the forward pass runs. Every value can change a bit of the logits."""

    device: str
    """``cpu`` or ``cuda``."""
    patch_px: int
    """Side of a patch."""
    batch_size: int | None = None
    """Patches of a forward pass, the last batch filled up; None: what suits the device."""
    threads: int = 1
    """CPU threads of the forward pass."""
    on_nonfinite: Literal["fail", "nodata"] = "fail"
    """Whether scaled pixels or logits that are NaN or infinite fail the scene or make their pixels nodata."""
    precision: Precision = "fp32"
    """What convolutions compute in."""


@dataclass(frozen=True, slots=True)
class Started:
    """What a predictor says of itself once it has run its first batches."""

    batch_size: int
    """Patches of a forward pass."""
    network_bytes: int = 0
    """Memory of a GPU that the weights and one batch on its way through the network take; 0 on a CPU."""
    warnings: tuple[str, ...] = ()
    """What its first forward pass told of the bundle."""


def choose_precision(wanted: Literal["auto", "fp32", "bf16"], bundle: Bundle, hardware: Hardware) -> Precision:
    """What a bundle's convolutions compute in: where nothing is said, bf16 if the hardware has it.

    Raises:
        SettingsError: If the bundle computes as it was exported and something else is asked for.
    """
    if bundle.file.artifact != "model.onnx":
        return ("bf16" if hardware.bf16 else "fp32") if wanted == "auto" else wanted
    if wanted == "bf16":
        raise SettingsError(
            f"run.precision=bf16, but {bundle.artifact} computes in what it was exported in. Set run.precision=auto, "
            "or export it in bfloat16."
        )
    return "fp32"
