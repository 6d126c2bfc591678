"""From the raw pixels of a block to its scores."""

from time import perf_counter
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geoseg.errors import SceneError, SettingsError
from geoseg.grid.blend import (
    NO_SCORE,
    SCORE_BITS,
    SCORE_ONE,
    BlockScores,
    ClassMap,
    Spill,
    Strip,
    axis_weights,
    band_windows,
    reflect_indices,
    spill_windows,
)
from geoseg.grid.legend import NODATA_CLASS, NODATA_CONFIDENCE
from geoseg.grid.tiling import Block, Lattice, Tiling, valid_patches
from geoseg.grid.window import Window
from geoseg.model.bundle import MODEL_FILE, Bundle
from geoseg.model.device import open_device
from geoseg.model.dry_run import check_output, keeps_patches_apart
from geoseg.model.inference import Inference
from geoseg.model.network import load_network
from geoseg.model.scaling import scale_pixels

GPU_BATCH = 8
CPU_BATCH = 1
"""On a CPU larger batches only leave the caches; and a batch of one keeps every patch alone."""


class Prediction(NamedTuple):
    """What the forward pass of one block gives."""

    scores: BlockScores
    spill: Spill
    patches: int
    """Patches that went through the model: those with a valid pixel."""
    forward_s: float
    """Seconds in the network."""
    not_finite: tuple[Window, ...] = ()
    """Patches with logits that are NaN or infinite; their pixels became nodata."""


class Predictor:
    """A bundle on a device. One lives in each actor, and one in the process of an inline run."""

    def __init__(self, bundle: Bundle, inference: Inference) -> None:
        self._bundle = bundle
        self._device = open_device(inference.device)
        self._patch_px = inference.patch_px
        self._threads = inference.threads
        self._on_nonfinite = inference.on_nonfinite
        self._fix_arithmetic()
        self._network = load_network(bundle, self._device, inference.threads)
        wanted = inference.batch_size or (CPU_BATCH if self._device.type == "cpu" else GPU_BATCH)
        self.batch_size = self._network.fixed_batch or wanted
        check_output(self._network, bundle, self.batch_size, inference.patch_px, self._device)
        if self.batch_size > 1 and not keeps_patches_apart(
            self._network, bundle, self.batch_size, inference.patch_px, self._device
        ):
            # Its logits would depend on how blocks group patches; alone in a batch they cannot.
            if self._network.fixed_batch:
                raise SettingsError(
                    f"{bundle.artifact} takes batches of {self._network.fixed_batch} alone and lets patches of a batch "
                    "change each other's logits. Export it with a batch of any size or of 1."
                )
            self.batch_size = 1

    def predict(
        self, tiling: Tiling, block: Block, pixels: NDArray[np.generic], valid: NDArray[np.bool_], source: str
    ) -> Prediction:
        """Run the block's patches that hold a valid pixel, each once, and blend them.

        Args:
            tiling: The scene's patches and blocks.
            block: The block.
            pixels: Raw values in the file's dtype, shape (C, H, W) of ``block.read``.
            valid: True where the scene is valid, shape (H, W) of ``block.read``.
            source: The file, for messages.

        Raises:
            SceneError: If the logits of a patch are not finite and `Inference.on_nonfinite` says that this is an error.
        """
        self._fix_arithmetic()
        lattice, scene = tiling.lattice, tiling.lattice.scene
        window, todo = block.covered, valid_patches(lattice, block, valid)
        scores = torch.zeros((len(self._bundle.legend), *window.shape), dtype=torch.int32, device=self._device)
        patches, forward_s, not_finite = 0, 0.0, []
        for start in range(0, len(todo), self.batch_size):
            batch = todo[start : start + self.batch_size]
            cut = [self._cut(lattice.patch(i, j), scene, block.read, pixels, valid) for i, j in batch]
            cut += [torch.zeros_like(cut[0])] * (self.batch_size - len(batch))
            started = perf_counter()
            logits = self._network(torch.stack(cut))
            finite = torch.isfinite(logits[: len(batch)]).flatten(1).all(1).tolist()  # waits for the device
            forward_s += perf_counter() - started
            for (i, j), patch_logits, good in zip(batch, logits, finite, strict=False):
                if not good:
                    self._check_tolerated(source, lattice.patch(i, j))
                    not_finite.append(lattice.patch(i, j))
                at = (slice(None), *lattice.patch(i, j).slices(window))
                scores[at] += self._weigh(patch_logits, lattice, i, j, finite=good)
            patches += len(batch)
        return Prediction(*_leave_device(scores, window, tiling, block, valid), patches, forward_s, tuple(not_finite))

    def _check_tolerated(self, source: str, patch: Window) -> None:
        if self._on_nonfinite == "fail":
            raise SceneError(
                f"{source}: {self._bundle.name} gives logits that are not finite (NaN or infinite) for the patch at "
                f"{patch}. Check geoseg:scaling in {self._bundle.path / MODEL_FILE} against the values of the scene, "
                "or set run.on_nonfinite=nodata."
            )

    def _cut(
        self, patch: Window, scene: Window, read: Window, pixels: NDArray[np.generic], valid: NDArray[np.bool_]
    ) -> Tensor:
        """Scale a patch, fill what is not valid and continue it beyond the scene's rim; float32 (C, P, P).

        Each patch is scaled by itself: vectorised functions may round differently at the end of an array, so a pixel's
        value must not depend on its place in the block.
        """
        inside = patch.intersect(scene)
        if inside is None:
            raise ValueError(f"Patch {patch} lies outside the scene {scene}.")
        at = inside.slices(read)
        raw = torch.from_numpy(pixels[(slice(None), *at)].astype(np.float32)).to(self._device)
        keep = torch.from_numpy(valid[at].copy()).to(self._device)
        scaled = torch.where(keep, scale_pixels(raw, self._bundle.file.scaling), self._bundle.file.nodata_fill)
        if inside != patch:
            rows = torch.from_numpy(reflect_indices(inside.height, patch.height)).to(self._device)
            cols = torch.from_numpy(reflect_indices(inside.width, patch.width)).to(self._device)
            scaled = scaled[:, rows][:, :, cols]
        return scaled

    def _weigh(self, logits: Tensor, lattice: Lattice, i: int, j: int, *, finite: bool) -> Tensor:
        """Quantised weight times probability of a patch; `NO_SCORE` where logits are not finite; int32 (K, P, P)."""
        if logits.shape[1:] != (self._patch_px, self._patch_px):
            size = (self._patch_px, self._patch_px)
            logits = torch.nn.functional.interpolate(logits[None], size, mode="bilinear", align_corners=False)[0]
        match self._bundle.file.activation:
            case "softmax":
                probabilities = torch.softmax(logits.contiguous(), 0)
            case "sigmoid":
                probabilities = torch.sigmoid(logits.contiguous())
            case "none":
                probabilities = logits.clamp(0, 1)
        if len(probabilities) < len(self._bundle.legend):
            probabilities = torch.cat([1 - probabilities, probabilities])
        weights = np.outer(axis_weights(lattice.rows, i), axis_weights(lattice.cols, j)) * SCORE_ONE
        scaled = probabilities * torch.from_numpy(weights.astype(np.float32)).to(self._device)
        weighed = scaled.round_().to(torch.int32)
        return weighed if finite else torch.where(torch.isfinite(logits).all(0), weighed, NO_SCORE)

    def _fix_arithmetic(self) -> None:
        """Set what torch keeps for the whole process; all of it can change the last bit of a logit."""
        torch.set_num_threads(self._threads)
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False


def _leave_device(
    scores: Tensor, window: Window, tiling: Tiling, block: Block, valid: NDArray[np.bool_]
) -> tuple[BlockScores, Spill]:
    """Decide the core on the device; copy only classes, confidence, bands and spill to the host."""

    def strip(part: Window) -> Strip:
        return Strip(part, scores[(slice(None), *part.slices(window))].cpu().numpy().copy())

    classes, confidence = _decide(scores[(slice(None), *block.core.slices(window))])
    known = valid[block.core.slices(block.read)]
    decided = ClassMap(
        block.core,
        np.where(known, classes.cpu().numpy(), np.uint8(NODATA_CLASS)),
        np.where(known, confidence.cpu().numpy(), np.uint8(NODATA_CONFIDENCE)),
    )
    bands = tuple(strip(part) for part in band_windows(block, tiling.lattice.rows.overlap_px))
    spill = Spill(*(None if part is None else strip(part) for part in spill_windows(tiling, block)))
    return BlockScores(decided, bands), spill


def _decide(scores: Tensor) -> tuple[Tensor, Tensor]:
    """`geoseg.grid.blend.decide` on the device: the same integers, shape (H, W), for valid pixels."""
    best = scores[0].clone()
    classes = torch.zeros_like(best, dtype=torch.uint8)
    for index in range(1, len(scores)):
        classes.masked_fill_(scores[index] > best, index)
        torch.maximum(best, scores[index], out=best)
    confidence = (best * 255 + SCORE_ONE // 2) >> SCORE_BITS
    unknown = best < 0
    classes.masked_fill_(unknown, NODATA_CLASS)
    return classes, confidence.clamp_(1, 255).masked_fill_(unknown, NODATA_CONFIDENCE).to(torch.uint8)
