"""The patch lattice of a scene, and the blocks in which the scene is processed.

Patches lie at ``(i * stride, j * stride)`` from the scene's pixel (0, 0), independent of the blocks. A patch belongs to
the block that contains its origin, so every patch has one owner and goes through the model once. It extends beyond its
block only to the south and east, so a block receives scores from its west, north and north-west neighbours only.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from geoseg.grid.window import Window

MAX_BLOCK_PIXELS = (1 << 31) - 1
"""Component labels of a block are int32."""


@dataclass(frozen=True, slots=True)
class Axis:
    """The patch lattice along one axis of a scene. At most two patches cover a pixel."""

    size_px: int
    """Pixels of the scene on this axis."""
    patch_px: int
    """Pixels of a patch."""
    overlap_px: int
    """Pixels that two consecutive patches share."""

    def __post_init__(self) -> None:
        if self.size_px < 1:
            raise ValueError(f"size_px={self.size_px} must be at least 1.")
        if not 0 <= 2 * self.overlap_px <= self.patch_px or self.patch_px < 1:
            raise ValueError(
                f"overlap_px={self.overlap_px} must lie between 0 and half of patch_px={self.patch_px}, so that at "
                "most two patches cover a pixel on an axis. A quarter of a patch is usual: use "
                f"overlap_px={self.patch_px // 4}."
            )

    @property
    def stride_px(self) -> int:
        """Distance between the origins of two consecutive patches."""
        return self.patch_px - self.overlap_px

    @property
    def count(self) -> int:
        """Number of patches: the smallest number that covers the axis."""
        return max(1, -(-(self.size_px - self.overlap_px) // self.stride_px))

    def owned(self, start: int, stop: int) -> range:
        """Indices of the patches whose origin lies in ``[start, stop)``."""
        return range(min(self.count, -(-start // self.stride_px)), min(self.count, -(-stop // self.stride_px)))


@dataclass(frozen=True, slots=True)
class Lattice:
    """All patches of a scene."""

    rows: Axis
    """The vertical axis."""
    cols: Axis
    """The horizontal axis."""

    @classmethod
    def of(cls, shape: tuple[int, int], patch_px: int, overlap_px: int) -> "Lattice":
        """Build the lattice of square patches of ``patch_px`` for a scene of ``shape`` (height, width) pixels."""
        return cls(Axis(shape[0], patch_px, overlap_px), Axis(shape[1], patch_px, overlap_px))

    @property
    def count(self) -> int:
        """Number of patches."""
        return self.rows.count * self.cols.count

    @property
    def scene(self) -> Window:
        """The whole scene."""
        return Window(0, 0, self.rows.size_px, self.cols.size_px)

    def patch(self, i: int, j: int) -> Window:
        """Window of patch ``(i, j)``; it may extend beyond the south and east edges of the scene."""
        rows, cols = self.rows, self.cols
        return Window(i * rows.stride_px, j * cols.stride_px, rows.patch_px, cols.patch_px)


@dataclass(frozen=True, slots=True)
class Block:
    """A unit of scheduled work: a rectangle of the scene and the patches whose origin lies in it."""

    row: int
    """Row of the block among the blocks."""
    col: int
    """Column of the block among the blocks."""
    core: Window
    """Pixels whose classes this block computes. The cores of all blocks tile the scene."""
    covered: Window
    """The core and all its patches; may extend beyond the south and east edges of the scene."""
    read: Window
    """Pixels the block needs: ``covered`` inside the scene."""
    patch_rows: range
    """Lattice rows of the patches it owns. May be empty at the south edge of the scene."""
    patch_cols: range
    """Lattice columns of the patches it owns. May be empty at the east edge of the scene."""

    @property
    def name(self) -> str:
        """Name in files and logs, e.g. ``r0003c0012``."""
        return f"r{self.row:04d}c{self.col:04d}"

    @property
    def patch_count(self) -> int:
        """Number of patches it owns."""
        return len(self.patch_rows) * len(self.patch_cols)

    @property
    def patches(self) -> Iterator[tuple[int, int]]:
        """Lattice indices of its patches, in raster order."""
        return ((i, j) for i in self.patch_rows for j in self.patch_cols)


@dataclass(frozen=True, slots=True)
class Tiling:
    """Division of a scene into blocks that are aligned to its patch lattice."""

    lattice: Lattice
    """The patches; they do not depend on the blocks."""
    block_px: int
    """Side of a block's core, a multiple of the stride."""

    def __post_init__(self) -> None:
        stride, overlap = self.lattice.rows.stride_px, self.lattice.rows.overlap_px
        if self.block_px < 1 or self.block_px % stride:
            below = max(stride, self.block_px // stride * stride)
            raise ValueError(
                f"block_px={self.block_px} is not a multiple of stride={stride}. Use {below} or {below + stride}, "
                f"or change overlap_px={overlap} (stride = patch_px - overlap_px)."
            )
        pixels = min(self.block_px, self.lattice.rows.size_px) * min(self.block_px, self.lattice.cols.size_px)
        if pixels > MAX_BLOCK_PIXELS:
            raise ValueError(
                f"block_px={self.block_px} makes blocks of {pixels} pixels, and at most {MAX_BLOCK_PIXELS} can be "
                f"numbered. Use {isqrt(MAX_BLOCK_PIXELS) // stride * stride} or less."
            )

    @property
    def block_rows(self) -> int:
        """Number of rows of blocks."""
        return -(-self.lattice.rows.size_px // self.block_px)

    @property
    def block_cols(self) -> int:
        """Number of columns of blocks."""
        return -(-self.lattice.cols.size_px // self.block_px)

    @property
    def count(self) -> int:
        """Number of blocks."""
        return self.block_rows * self.block_cols

    def block(self, row: int, col: int) -> Block:
        """Build the block in row ``row`` and column ``col`` of the blocks."""
        scene, lattice = self.lattice.scene, self.lattice
        core = Window(row * self.block_px, col * self.block_px, self.block_px, self.block_px).intersect(scene)
        if core is None:
            raise ValueError(f"Block ({row}, {col}) lies outside {self.block_rows} x {self.block_cols} blocks.")
        patch_rows = lattice.rows.owned(core.row, core.row_stop)
        patch_cols = lattice.cols.owned(core.col, core.col_stop)
        covered = core
        if patch_rows and patch_cols:
            last = lattice.patch(patch_rows[-1], patch_cols[-1])
            row_stop, col_stop = max(core.row_stop, last.row_stop), max(core.col_stop, last.col_stop)
            covered = Window.from_bounds(core.row, core.col, row_stop, col_stop)
        read = Window.from_bounds(
            core.row, core.col, min(covered.row_stop, scene.row_stop), min(covered.col_stop, scene.col_stop)
        )
        return Block(row, col, core, covered, read, patch_rows, patch_cols)

    def blocks(self) -> Iterator[Block]:
        """All blocks in raster order."""
        return (self.block(row, col) for row in range(self.block_rows) for col in range(self.block_cols))


def valid_patches(lattice: Lattice, block: Block, valid: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Lattice indices of the block's patches that contain a valid pixel, in raster order.

    Args:
        lattice: The scene's patches.
        block: The block.
        valid: True where the scene is valid, shape (H, W) of ``block.read``.
    """
    if not block.patch_count:
        return []
    lattice_rows, lattice_cols, read = lattice.rows, lattice.cols, block.read
    # Reduce rows, then columns: the loops run over patch rows and patch columns, not over all patches.
    row_any = np.stack([valid[_inside(lattice_rows, i, read.row, read.row_stop)].any(axis=0) for i in block.patch_rows])
    patch_any = [row_any[:, _inside(lattice_cols, j, read.col, read.col_stop)].any(axis=1) for j in block.patch_cols]
    return [(block.patch_rows[i], block.patch_cols[j]) for i, j in np.argwhere(np.stack(patch_any, axis=1)).tolist()]


def _inside(axis: Axis, index: int, start: int, stop: int) -> slice:
    """Slice of patch ``index`` in an array of the pixels ``[start, stop)``."""
    first = index * axis.stride_px
    return slice(first - start, min(first + axis.patch_px, stop) - start)
