"""How the forward pass runs."""

from dataclasses import dataclass
from typing import Literal


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
    """Whether logits that are NaN or infinite fail the scene or make their pixels nodata."""
