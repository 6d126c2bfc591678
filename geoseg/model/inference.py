"""How the forward pass runs."""

from dataclasses import dataclass


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
