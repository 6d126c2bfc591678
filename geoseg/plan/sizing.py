"""How large a block may be: pure functions that project bytes and work."""

from geoseg.errors import SettingsError
from geoseg.grid.tiling import Lattice
from geoseg.model.hardware import Hardware

SCORE_BYTES = 4
BLOCKS_PER_WORKER = 8
"""A scene is cut into at least this many blocks for each worker where the stride allows, so that all have work."""
CPU_BLOCK_BYTES = 1 << 30
"""What one block may take by default in a machine's memory."""
GPU_BLOCK_SHARE, MOST_GPU_BLOCK_BYTES = 0.25, 16 << 30
"""What one block may take by default of a GPU's memory."""
GPU_USABLE_SHARE = 0.9
"""Of a GPU's memory: the rest is CUDA's own, and what the allocator cannot give away."""
BLOCKS_ON_GPU = 1.5
"""One at work and the pixels of the next, which are less than half of it."""
BLOCK_PIXELS = {"cpu": 1 << 22, "cuda": 1 << 26}
"""Pixels a common U-Net does in about a minute: a unit of work that is cheap to lose and expensive to schedule."""


def default_block_bytes(hardware: Hardware) -> int:
    """What one block may take where nothing is said."""
    if hardware.device == "cpu":
        return CPU_BLOCK_BYTES
    return min(MOST_GPU_BLOCK_BYTES, int(GPU_BLOCK_SHARE * hardware.memory_bytes))


def strip_bytes(block_px: int, lattice: Lattice, classes: int) -> int:
    """Bytes of the scores that a block leaves to its neighbours; kept with it until the scene is committed."""
    overlap = lattice.rows.overlap_px
    return overlap * (2 * block_px + overlap) * SCORE_BYTES * classes


def project_block_bytes(block_px: int, lattice: Lattice, classes: int, pixel_bytes: int) -> int:
    """Bytes a block holds at its peak, while it is predicted: raw pixels, mask, scores, decision and strips.

    Args:
        block_px: Side of the block's core.
        lattice: The scene's patches.
        classes: Number of classes.
        pixel_bytes: Bytes of a pixel's raw bands.
    """
    # A scene is padded to whole patches at its rim, and a small scene to one.
    padded = [(axis.count - 1) * axis.stride_px + axis.patch_px for axis in (lattice.rows, lattice.cols)]
    overlap = lattice.rows.overlap_px
    rows, cols = min(block_px, padded[0]), min(block_px, padded[1])
    covered = min(block_px + overlap, padded[0]) * min(block_px + overlap, padded[1])
    strips = 2 * overlap * (rows + cols + overlap)
    # Raw pixels, mask and the int32 scores; best score, class and confidence of the core; bands and spill.
    return covered * (pixel_bytes + 1 + SCORE_BYTES * classes) + rows * cols * 8 + strips * SCORE_BYTES * classes


def project_batch_bytes(batch_size: int, patch_px: int, bands: int, classes: int) -> int:
    """Bytes of a batch beside what the network itself takes: raw and scaled values, logits, probabilities, scores.

    Args:
        batch_size: Patches of a forward pass.
        patch_px: Side of a patch.
        bands: Bands of the input.
        classes: Number of classes.
    """
    # Raw, a step of the scaling and its result; and of the output as it comes, in float32, activated and quantised.
    return batch_size * patch_px**2 * 4 * (4 * bands + 4 * classes)


def require_device_memory(
    block_px: int, lattice: Lattice, classes: int, pixel_bytes: int, *, rest_bytes: int, hardware: Hardware
) -> None:
    """Refuse blocks that cannot fit on the GPU beside the network; on a CPU everything passes.

    Args:
        block_px: Side of the blocks.
        lattice: The scene's patches.
        classes: Number of classes.
        pixel_bytes: Bytes of a pixel's raw bands.
        rest_bytes: What a batch and the network take.
        hardware: The GPU.

    Raises:
        SettingsError: Names the largest block that would fit.
    """
    room_bytes = int((GPU_USABLE_SHARE * hardware.memory_bytes - rest_bytes) / BLOCKS_ON_GPU)
    needed_bytes = project_block_bytes(block_px, lattice, classes, pixel_bytes)
    if hardware.device == "cpu" or needed_bytes <= room_bytes:
        return
    largest = largest_block_px(lattice, classes, pixel_bytes, room_bytes)
    raise SettingsError(
        f"tiling.block_px={block_px} needs {needed_bytes * BLOCKS_ON_GPU / 2**30:.2f} GiB on the GPU beside "
        f"{rest_bytes / 2**30:.2f} GiB of a batch in the network, and {hardware.name} has "
        f"{hardware.memory_bytes / 2**30:.3g} GiB. "
        + (f"Set tiling.block_px={largest}." if largest else "Set run.batch_size or tiling.patch_px lower.")
    )


def largest_block_px(lattice: Lattice, classes: int, pixel_bytes: int, memory_bytes: int) -> int | None:
    """The largest block that a memory holds, a multiple of the stride; None if not even one of a stride fits."""
    stride = lattice.rows.stride_px
    strides = -(-max(lattice.rows.size_px, lattice.cols.size_px) // stride)
    sides = (count * stride for count in range(strides, 0, -1))
    return next(
        (side for side in sides if project_block_bytes(side, lattice, classes, pixel_bytes) <= memory_bytes), None
    )


def choose_block_px(
    lattice: Lattice, classes: int, pixel_bytes: int, *, memory_bytes: int, block_pixels: int, workers: int
) -> int:
    """The largest block that memory, a unit of work of about a minute and a share for every worker allow.

    Args:
        lattice: The scene's patches.
        classes: Number of classes.
        pixel_bytes: Bytes of a pixel's raw bands.
        memory_bytes: What one block may take, as `project_block_bytes` counts.
        block_pixels: Pixels that a predictor does in about a minute.
        workers: Number of predictors.

    Returns:
        A multiple of the stride, at least one stride even if that takes more than ``memory_bytes``.
    """
    stride = lattice.rows.stride_px
    side = max(lattice.rows.size_px, lattice.cols.size_px)
    share = lattice.scene.pixels / (BLOCKS_PER_WORKER * workers)
    strides = max(1, int(min(side, block_pixels**0.5, share**0.5) // stride))
    while strides > 1 and project_block_bytes(strides * stride, lattice, classes, pixel_bytes) > memory_bytes:
        strides -= 1
    return strides * stride


MAX_THREADS = 256
"""Workers of a process at most: hardly a machine has as many CPUs, and the system refuses thousands of threads."""


def require_cpu(device: str, workers: int) -> None:
    """Refuse several threads that would share a GPU, and more than a process can have.

    Raises:
        SettingsError: If they would, or are.
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
