"""How large a block may be: pure functions that project bytes and work."""

from geoseg.grid.tiling import Lattice

SCORE_BYTES = 4
BLOCKS_PER_WORKER = 4
"""A scene is cut into at least this many blocks for each worker where the stride allows, so that all have work."""
MEMORY_BYTES = {"cpu": 1 << 30, "cuda": 4 << 30}
"""What one block may take by default."""
BLOCK_PIXELS = {"cpu": 1 << 22, "cuda": 1 << 26}
"""Pixels a common U-Net does in about a minute: a unit of work that is cheap to lose and dear to schedule."""


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
