"""How large a block may be: pure functions that project bytes and work."""

from dataclasses import dataclass

from geoseg.errors import SettingsError
from geoseg.grid.tiling import Lattice
from geoseg.model.hardware import Hardware

SCORE_BYTES = 4
DATES_BYTES = 2
"""Bytes of the number of dates of a pixel."""
BLOCKS_PER_WORKER = 8
"""Least number of blocks for each worker, where the stride allows, so that all workers are busy."""
CPU_BLOCK_BYTES = 1 << 30
"""Default limit of memory for one block on a CPU."""
GPU_BLOCK_SHARE, MOST_GPU_BLOCK_BYTES = 0.25, 16 << 30
"""Default limit of memory for one block on a GPU: a share of it, and an absolute limit."""
GPU_USABLE_SHARE = 0.9
"""Usable share of a GPU's memory; CUDA and fragmentation take the rest."""
BLOCKS_ON_GPU = 1.5
"""The block that is predicted, and the pixels of the next, which take less than half of a block."""
BLOCK_PIXELS = {"cpu": 1 << 22, "cuda": 1 << 26}
"""Pixels that a common U-Net predicts in about a minute: a unit that is cheap to repeat, and large beside the overhead
of scheduling."""


def default_block_bytes(hardware: Hardware) -> int:
    """Default limit of memory for one block."""
    if hardware.device == "cpu":
        return CPU_BLOCK_BYTES
    return min(MOST_GPU_BLOCK_BYTES, int(GPU_BLOCK_SHARE * hardware.memory_bytes))


def strip_bytes(block_px: int, lattice: Lattice, classes: int) -> int:
    """Bytes of the strips that a block stores for its neighbours; kept until the scene is committed."""
    overlap = lattice.rows.overlap_px
    return overlap * (2 * block_px + overlap) * SCORE_BYTES * classes


@dataclass(frozen=True, slots=True)
class BlockMemory:
    """Projects the memory that blocks of a scene take."""

    lattice: Lattice
    """The scene's patches."""
    classes: int
    """Number of classes."""
    pixel_bytes: int
    """Bytes of a pixel's raw bands."""
    layer_bytes: int = 0
    """Bytes of a pixel's layers, see `geoseg.grid.decision`."""

    def project(self, block_px: int) -> int:
        """Bytes a block holds at its peak, while it is predicted: raw pixels, mask, scores, decision and strips."""
        rows, cols = self.lattice.rows, self.lattice.cols
        # A scene is padded to whole patches at its border, and a small scene to one patch.
        padded = [(axis.count - 1) * axis.stride_px + axis.patch_px for axis in (rows, cols)]
        overlap = rows.overlap_px
        height, width = (min(block_px, side) for side in padded)
        covered = min(block_px + overlap, padded[0]) * min(block_px + overlap, padded[1])
        strips = 2 * overlap * (height + width + overlap)
        score_bytes = SCORE_BYTES * self.classes
        # Raw pixels, mask and the int32 scores; best score, class, confidence and layers of the core; bands and spill.
        decided = height * width * (8 + self.layer_bytes)
        return covered * (self.pixel_bytes + 1 + score_bytes) + decided + strips * score_bytes

    def largest_block_px(self, memory_bytes: int) -> int | None:
        """The largest block size that fits into memory, a multiple of the stride; None if not even one stride fits."""
        stride = self.lattice.rows.stride_px
        sides = range(-(-self._longest_px // stride) * stride, 0, -stride)
        return next((side for side in sides if self.project(side) <= memory_bytes), None)

    def choose_block_px(self, *, memory_bytes: int, block_pixels: int, workers: int) -> int:
        """The largest block size within three limits: memory, about a minute of work, and blocks for every worker.

        Args:
            memory_bytes: Limit for one block, as `project` counts.
            block_pixels: Pixels that a predictor predicts in about a minute.
            workers: Number of predictors.

        Returns:
            A multiple of the stride, at least one stride even if that takes more than ``memory_bytes``.
        """
        stride = self.lattice.rows.stride_px
        share = self.lattice.scene.pixels / (BLOCKS_PER_WORKER * workers)
        strides = max(1, int(min(self._longest_px, block_pixels**0.5, share**0.5) // stride))
        while strides > 1 and self.project(strides * stride) > memory_bytes:
            strides -= 1
        return strides * stride

    def require_device(self, block_px: int, *, rest_bytes: int, hardware: Hardware) -> None:
        """Refuse blocks that do not fit on the GPU beside the network. On a CPU nothing is refused.

        Args:
            block_px: Side of the blocks.
            rest_bytes: Bytes of a batch and of the network.
            hardware: The GPU.

        Raises:
            SettingsError: If they do not fit; names the largest block size that does.
        """
        room_bytes = int((GPU_USABLE_SHARE * hardware.memory_bytes - rest_bytes) / BLOCKS_ON_GPU)
        needed_bytes = self.project(block_px)
        if hardware.device == "cpu" or needed_bytes <= room_bytes:
            return
        largest = self.largest_block_px(room_bytes)
        raise SettingsError(
            f"tiling.block_px={block_px} needs {needed_bytes * BLOCKS_ON_GPU / 2**30:.2f} GiB on the GPU beside "
            f"{rest_bytes / 2**30:.2f} GiB of a batch in the network, and {hardware.name} has "
            f"{hardware.memory_bytes / 2**30:.3g} GiB. "
            + (f"Set tiling.block_px={largest}." if largest else "Set run.batch_size or tiling.patch_px lower.")
        )

    @property
    def _longest_px(self) -> int:
        return max(self.lattice.rows.size_px, self.lattice.cols.size_px)


def project_batch_bytes(batch_size: int, patch_px: int, bands: int, classes: int) -> int:
    """Bytes of a batch without those inside the network: raw and scaled values, logits, probabilities, scores.

    Args:
        batch_size: Patches of a forward pass.
        patch_px: Side of a patch.
        bands: Bands of the input.
        classes: Number of classes.
    """
    # Input: raw, scaling in two steps, result. Output: as computed, in float32, activated, quantised.
    return batch_size * patch_px**2 * 4 * (4 * bands + 4 * classes)


MAX_THREADS = 256
"""Most worker threads of a process: few machines have more CPUs, and the system refuses thousands of threads."""


def require_cpu(device: str, workers: int) -> None:
    """Refuse worker threads that would share a GPU, and more than `MAX_THREADS`.

    Raises:
        SettingsError: In both cases.
    """
    if workers > MAX_THREADS:
        raise SettingsError(
            f"run.workers={workers} with run.address=inline are threads of one process, at most {MAX_THREADS}. "
            "Set run.workers to the number of CPUs, or use run.address=local."
        )
    if device != "cpu" and workers > 1:
        raise SettingsError(
            f"run.workers={workers} with run.address=inline is for CPUs; one worker keeps the {device} device busy. "
            "Set run.workers=1, or run.device=cpu, or use run.address=local."
        )
