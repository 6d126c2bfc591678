"""Compute a block's scores from its raw pixels, on one device, with torch and numpy only."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from threading import Lock
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geoseg.errors import SceneError
from geoseg.grid.blend import BlockScores, ClassMap, Spill, Strip, band_windows, spill_windows
from geoseg.grid.decision import Decision
from geoseg.grid.tiling import Block, Lattice, Tiling, valid_patches
from geoseg.grid.window import Window
from geoseg.model.device_copier import DeviceCopier, Stopwatch
from geoseg.model.patchwork.patches import RawBlock, Scale, cut_batch, fill_not_finite, work_groups
from geoseg.model.patchwork.protocol import Network
from geoseg.model.patchwork.scores import Activation, Weights, activate, add_patch, are_finite, decide, enlarge

Explain = Callable[[Tensor], str]
"""Describes which of the valid raw pixels, float32 of shape (C, N), scale to values that are not finite."""


@dataclass(frozen=True, slots=True)
class Task:
    """Processing of a network's input and output, from its bundle and the settings."""

    name: str
    """Name of the model, for messages."""
    described_in: str
    """File that declares the scaling, for messages."""
    decision: Decision
    """What is decided from the scores of a pixel."""
    activation: Activation
    """Function from logits to probabilities."""
    scale: Scale
    """Scaling of raw values."""
    explain: Explain
    """Describes the band and the step of the scaling that give values that are not finite."""
    fill: float
    """Scaled value of invalid pixels."""
    patch_px: int
    """Side of a patch."""
    batch_size: int
    """Patches per forward pass; the last batch is padded."""
    threads: int = 1
    """CPU threads."""
    on_nonfinite: Literal["fail", "nodata"] = "fail"
    """Whether scaled pixels or logits that are NaN or infinite fail the scene or make their pixels nodata."""
    network_bytes: int = 0
    """GPU memory of the weights and the forward pass of one batch; 0 on a CPU."""
    warnings: tuple[str, ...] = ()
    """Warnings about the bundle from the first forward pass."""


class Prediction(NamedTuple):
    """Result of the prediction of one block."""

    scores: BlockScores
    spill: Spill
    patches: int
    """Number of processed patches: those with a wanted pixel."""
    forward_s: float
    """Seconds of forward passes."""
    device_s: float
    """Seconds of all work on the device: cutting, forward passes and blending."""
    not_finite: tuple[Window, ...] = ()
    """Patches with scaled pixels or logits that are NaN or infinite and became nodata."""
    reasons: tuple[str, ...] = ()
    """Description of the cause for each of them."""


class Computed(NamedTuple):
    """What a block took, and what was taken of its scores."""

    arrays: list[NDArray[Any]]
    """Copied back from the device."""
    patches: int
    forward_s: float
    device_s: float
    not_finite: tuple[Window, ...]
    reasons: tuple[str, ...]
    """These five are those of `Prediction`."""


class Predictor:
    """A network on a device, one per actor or per thread of an inline run.

    `predict` may be called from several threads, so that copies of one block overlap with computations of another.
    """

    def __init__(self, network: Network, task: Task, device: torch.device) -> None:
        """Take a network that is on the device."""
        self._network, self.task, self._device = network, task, device
        self._copier = DeviceCopier(device)
        self._memory = torch.empty(0, dtype=torch.int32, device=device)
        self._weights: Weights | None = None
        self._computing = Lock()

    def twin(self) -> "Predictor":
        """Another predictor with the same network, for concurrent computations in another thread."""
        return Predictor(self._network, self.task, self._device)

    def predict(
        self,
        tiling: Tiling,
        block: Block,
        pixels: NDArray[np.generic],
        valid: NDArray[np.bool_],
        source: str,
        *,
        wanted: NDArray[np.bool_] | None = None,
    ) -> Prediction:
        """Run the network once on each of the block's patches with a wanted pixel, and blend the scores.

        Args:
            tiling: The scene's patches and blocks.
            block: The block.
            pixels: Raw values in the file's dtype, shape (C, H, W) of ``block.read``.
            valid: True where the scene is valid, shape (H, W) of ``block.read``.
            source: The file, for messages.
            wanted: True where a pixel gets a class, shape of ``valid``; None for all that are valid.

        Raises:
            SceneError: If scaled pixels or logits of a patch are not finite and `Task.on_nonfinite` is ``fail``.
        """
        parts = [*band_windows(block, tiling.lattice.rows.overlap_px), *filter(None, spill_windows(tiling, block))]

        def take(scores: Tensor, raw: RawBlock) -> list[Tensor]:
            own = scores[(slice(None), *block.core.slices(block.covered))]
            *decided, layers = decide(own, raw.wanted_in(block.core), self.task.decision)
            return [*decided, *layers, *(scores[:, *part.slices(block.covered)].clone() for part in parts)]

        done = self._compute(tiling, block, pixels, valid, valid if wanted is None else wanted, source, take)
        classes, confidence, *left = done.arrays
        named = dict(zip(self.task.decision.layers, left, strict=False))
        by_window = dict(zip(parts, map(Strip, parts, left[len(named) :]), strict=True))
        bands = tuple(by_window[part] for part in band_windows(block, tiling.lattice.rows.overlap_px))
        spill = Spill(*(None if part is None else by_window[part] for part in spill_windows(tiling, block)))
        scored = BlockScores(ClassMap(block.core, classes, confidence, named), bands)
        return Prediction(scored, spill, *done[1:])

    def score(
        self,
        tiling: Tiling,
        block: Block,
        pixels: NDArray[np.generic],
        valid: NDArray[np.bool_],
        source: str,
        *,
        wanted: NDArray[np.bool_] | None = None,
    ) -> tuple[NDArray[np.int32], Computed]:
        """Scores of the block's patches, before any decision; arguments and errors as of `predict`.

        Returns:
            Fixed point, shape (C, H, W) of ``block.read``, 0 where a pixel is not wanted; and what it took.
        """

        def take(scores: Tensor, raw: RawBlock) -> list[Tensor]:
            own, inside = scores[:, *block.read.slices(block.covered)], raw.wanted_in(block.read)
            return [own.clone() if inside is None else own * inside]

        done = self._compute(tiling, block, pixels, valid, valid if wanted is None else wanted, source, take)
        return done.arrays[0], done

    def _compute(
        self,
        tiling: Tiling,
        block: Block,
        pixels: NDArray[np.generic],
        valid: NDArray[np.bool_],
        wanted: NDArray[np.bool_],
        source: str,
        take: Callable[[Tensor, RawBlock], list[Tensor]],
    ) -> Computed:
        """Blend the block's patches on the device, and copy back what is taken of the scores."""
        todo = valid_patches(tiling.lattice, block, wanted)
        masks = {name: mask for name, mask in (("valid", valid), ("wanted", wanted)) if not mask.all()}
        uploaded, there = self._copier.upload((pixels, *masks.values()))
        busy = Stopwatch(self._device)
        with self._computing:
            with torch.inference_mode(), busy.running():
                fix_arithmetic(self.task.threads)
                self._copier.join(uploaded, there)
                raw = RawBlock(block.read, uploaded[0], **dict(zip(masks, uploaded[1:], strict=True)))
                scores, finite, watch = self._blend(tiling, block, raw, todo)
                taken = take(scores, raw)
            done = self._copier.mark()
        finite_there, *arrays = self._copier.download([finite, *taken], done)
        bad = [int(place) for place in np.flatnonzero(~finite_there.all(0))]
        not_finite = tuple(tiling.lattice.patch(*todo[place]) for place in bad)
        reasons = tuple(
            self._explain(block, patch, pixels, valid, scaled=bool(finite_there[0, place]))
            for place, patch in zip(bad, not_finite, strict=True)
        )
        if not_finite and self.task.on_nonfinite == "fail":
            raise SceneError(
                f"{source}: {reasons[0]} in the patch at {not_finite[0]}. Check the scaling in "
                f"{self.task.described_in} against the values of the scene, or set run.on_nonfinite=nodata."
            )
        return Computed(arrays, len(todo), watch.seconds(), busy.seconds(), not_finite, reasons)

    def _blend(
        self, tiling: Tiling, block: Block, raw: RawBlock, todo: list[tuple[int, int]]
    ) -> tuple[Tensor, Tensor, Stopwatch]:
        """Blend the block's patches.

        Returns:
            Scores of ``block.covered``; for each patch whether its scaled pixels and its logits are finite, shape
            (2, n); and the time of the forward passes.
        """
        task, lattice, device = self.task, tiling.lattice, self._device
        shape = (task.batch_size, len(raw.pixels), task.patch_px, task.patch_px)
        scores = self._blank((task.decision.channels, *block.covered.shape))
        finite = torch.ones((2, len(todo)), dtype=torch.bool, device=device)
        batch = torch.empty(shape, dtype=self._network.dtype, device=device, memory_format=torch.channels_last)
        weights, watch = self._weights_of(lattice), Stopwatch(device)
        for start in range(0, len(todo), task.batch_size):
            indices = todo[start : start + task.batch_size]
            patches = [lattice.patch(i, j) for i, j in indices]
            batch[len(patches) :].zero_()
            cut_batch(raw, patches, lattice.scene, task.scale, task.fill, batch)
            groups, patch_finite = work_groups(len(patches), device), finite[:, start : start + len(patches)]
            for group in groups:
                patch_finite[0, group] = are_finite(batch[group].permute(0, 2, 3, 1))  # in memory order
            sound: list[Tensor | None] = [None] * len(patches)
            if task.on_nonfinite == "nodata":
                sound = [fill_not_finite(patch, task.fill) for patch in batch[: len(patches)]]
            with watch.running():
                output = self._network(batch)
            for group in groups:
                logits = enlarge(output[group], task.patch_px)
                patch_finite[1, group] = are_finite(logits)
                probabilities = activate(logits, task.activation, task.decision.channels)
                maps = zip(indices[group], logits, probabilities, sound[group], strict=True)
                for place, own, one, scaled in maps:
                    at = (slice(None), *lattice.patch(*place).slices(block.covered))
                    known = None if scaled is None else scaled & torch.isfinite(own).all(0)
                    add_patch(scores[at], one, weights.of(*place), known)
        return scores, finite, watch

    def _explain(
        self, block: Block, patch: Window, pixels: NDArray[np.generic], valid: NDArray[np.bool_], *, scaled: bool
    ) -> str:
        """Describe what is not finite in a patch: its logits if ``scaled`` pixels are finite."""
        inside = patch.intersect(block.read)
        if scaled or inside is None:
            return f"{self.task.name} gives logits that are not finite (NaN or infinite)"
        at = inside.slices(block.read)
        with np.errstate(over="ignore"):
            raw = pixels[(slice(None), *at)][:, valid[at]].astype(np.float32)
        return self.task.explain(torch.from_numpy(raw))

    def _weights_of(self, lattice: Lattice) -> Weights:
        if self._weights is None or self._weights.lattice != lattice:
            self._weights = Weights(lattice, self._device)
        return self._weights

    def _blank(self, shape: tuple[int, ...]) -> Tensor:
        """Zero scores, in memory that is reused for every block: new pages cost more than writing zeros."""
        if self._memory.numel() < prod(shape):
            self._memory = torch.empty(prod(shape), dtype=torch.int32, device=self._device)
        return self._memory[: prod(shape)].view(shape).zero_()


def fix_arithmetic(threads: int) -> None:
    """Set torch's process-wide options that can change the last bit of a logit."""
    torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
