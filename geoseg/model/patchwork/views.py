"""See each patch in several ways and average what the network finds: mirrored, turned and resized.

Averages of flips and sizes are usual at test time, see for example Chen et al. 2017, arXiv:1706.05587, section 4.1. A
temperature divides the logits, which changes the confidence and never the class of one view: Guo et al. 2017,
arXiv:1706.04599.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from geoseg.model.patchwork.crf import refine
from geoseg.model.patchwork.options import Augment, PatchOptions
from geoseg.model.patchwork.patches import work_groups
from geoseg.model.patchwork.protocol import Network
from geoseg.model.patchwork.scores import Activation, activate, enlarge


class Turn(NamedTuple):
    """One of the eight symmetries of a square."""

    quarters: int
    """Quarter turns, after the mirror."""
    mirrored: bool
    """Whether left and right are exchanged."""

    def see(self, patches: Tensor) -> Tensor:
        """Mirror and turn patches of shape (..., P, P)."""
        return torch.rot90(patches.flip(-1) if self.mirrored else patches, self.quarters, (-2, -1))

    def undo(self, maps: Tensor) -> Tensor:
        """The inverse of `see`."""
        turned = torch.rot90(maps, -self.quarters, (-2, -1))
        return turned.flip(-1) if self.mirrored else turned


TURNS: dict[Augment, tuple[Turn, ...]] = {
    "none": (Turn(0, mirrored=False),),
    "flips": tuple(Turn(quarters, mirrored) for quarters in (0, 2) for mirrored in (False, True)),
    "flips-and-turns": tuple(Turn(quarters, mirrored) for quarters in range(4) for mirrored in (False, True)),
}
"""The views of each kind of augmentation; the untouched patch comes first."""


class Views:
    """A network and all that is done with its output for one patch; itself a `Network` that gives probabilities.

    A pixel whose logits are not finite in one of the views is NaN.
    """

    def __init__(
        self, network: Network, options: PatchOptions, sides_px: Sequence[int], activation: Activation, classes: int
    ) -> None:
        """Put the options around a network.

        Args:
            network: The network.
            options: What is done.
            sides_px: Side of a patch at each scale.
            activation: Activation of the network's output.
            classes: Number of classes.
        """
        self._network, self._options, self._sides_px = network, options, tuple(sides_px)
        self._activation, self._classes = activation, classes
        self.fixed_batch, self.dtype, self.free_bytes = network.fixed_batch, network.dtype, network.free_bytes

    def __call__(self, batch: Tensor) -> Tensor:
        """Mean probabilities, float32 of shape (N, C, P, P) for a batch of shape (N, B, P, P)."""
        count, _, patch_px, _ = batch.shape
        groups, turns = work_groups(count, batch.device), TURNS[self._options.augment]
        total = torch.zeros((count, self._classes, patch_px, patch_px), device=batch.device)
        for side_px in self._sides_px:
            resized = batch if side_px == patch_px else torch.cat([_resize(batch[group], side_px) for group in groups])
            for turn in turns:
                output = self._network(turn.see(resized.to(self.dtype)))
                for group in groups:
                    seen = turn.undo(self._probabilities(output[group], side_px))
                    total[group] += seen if side_px == patch_px else _resize(seen, patch_px)
        total.div_(len(self._sides_px) * len(turns))
        if self._options.crf is not None:
            for place in range(count):  # one after the other: the windows of all would not fit into memory
                total[place] = refine(total[place], batch[place].float(), self._options.crf)
        return total

    def _probabilities(self, output: Tensor, side_px: int) -> Tensor:
        """Probabilities of one view, float32 of shape (N, C, S, S); NaN where a logit is not finite."""
        logits = enlarge(output, side_px)
        if self._options.temperature != 1:
            logits = logits / self._options.temperature
        probabilities = activate(logits, self._activation, self._classes)
        return probabilities.masked_fill_(~torch.isfinite(logits).all(1, keepdim=True), torch.nan)


def _resize(values: Tensor, side_px: int) -> Tensor:
    """Resize maps to squares, in float32; smaller ones are means over what a pixel covers."""
    return torch.nn.functional.interpolate(
        values.float(), (side_px, side_px), mode="bilinear", align_corners=False, antialias=True
    )
