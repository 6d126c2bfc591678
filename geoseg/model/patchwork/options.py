"""Options of what happens to a patch beside one forward pass; importable without torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from geoseg.errors import SettingsError

Augment = Literal["none", "flips", "flips-and-turns"]
VIEWS: dict[Augment, int] = {"none": 1, "flips": 4, "flips-and-turns": 8}
"""Number of views of a patch."""
SIDE_TOLERANCE_PX = 1e-6
"""Tolerance for the side of a resized patch, since settings such as 0.333333333 are rounded."""


@dataclass(frozen=True, slots=True)
class Crf:
    """Parameters of `geoseg.model.patchwork.crf.refine`."""

    radius_px: int
    """The window of a pixel has ``2 * radius_px + 1`` pixels on a side."""
    iterations: int
    appearance: float
    """Weight of the kernel of appearance."""
    appearance_sd: float
    """Its width, in units of the scaled pixels."""
    smoothness: float
    """Weight of the kernel of smoothness."""
    smoothness_px: float
    """Its width."""


@dataclass(frozen=True, slots=True)
class PatchOptions:
    """From the network to the probabilities of a patch. All of it sees one patch alone, so blocks cannot matter."""

    augment: Augment = "none"
    """Mirrored and turned views of a patch, whose probabilities are averaged."""
    temperature: float = 1.0
    """Divisor of the logits, above 0."""
    scales: tuple[float, ...] = (1.0,)
    """Sizes at which a patch is seen, relative to its own; their probabilities are averaged."""
    crf: Crf | None = None
    """Conditional random field on the averaged probabilities."""

    @property
    def passes(self) -> float:
        """Work of a patch, in forward passes of its own size."""
        return VIEWS[self.augment] * sum(scale**2 for scale in self.scales)

    def sides_px(self, patch_px: int, multiple: int) -> tuple[int, ...]:
        """Side of a patch at each scale.

        Args:
            patch_px: Side of a patch.
            multiple: The network takes sides that are multiples of this.

        Raises:
            SettingsError: If a scale gives another side; names the nearest scales that do not.
        """
        return tuple(_side_px(scale, patch_px, multiple) for scale in self.scales)


PLAIN = PatchOptions()
"""One forward pass of each patch, and nothing else."""


def _side_px(scale: float, patch_px: int, multiple: int) -> int:
    if scale == 1:
        return patch_px  # whether the network takes it is checked with the tiling
    wanted = scale * patch_px
    side = multiple * max(1, round(wanted / multiple))
    if abs(side - wanted) <= SIDE_TOLERANCE_PX * patch_px:
        return side
    below = multiple * max(1, int(wanted // multiple))
    raise SettingsError(
        f"inference.scales: {scale:g} of a patch of {patch_px} px is {wanted:g} px, and the model needs a multiple of "
        f"{multiple}. Use {_scales(sorted({below, below + multiple}), patch_px)}."
    )


def _scales(sides_px: Sequence[int], patch_px: int) -> str:
    return " or ".join(f"{side / patch_px:.12g}" for side in sides_px)
