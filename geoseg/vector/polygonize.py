"""Class map to polygons in memory: the steps of `geoseg.vector.blocks` one after the other."""

from collections.abc import Mapping
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from geoseg.grid.neighbours import Place
from geoseg.grid.tiling import MAX_BLOCK_PIXELS, Lattice, Tiling
from geoseg.grid.window import Window
from geoseg.vector.blocks import (
    BlockLabels,
    absorb_small,
    concatenate_polygons,
    label_block,
    relabel,
    trace_block,
)
from geoseg.vector.joining import join_blocks
from geoseg.vector.lines.rings import PIXELS, Affine
from geoseg.vector.polygons import PixelPolygons
from geoseg.vector.seams import BlockBorder, find_seams, neighbours

CUT_PX = 512
"""Default period of the cut lattice of a class map that has no patch lattice."""


def polygonize(
    classes: NDArray[np.uint8], confidence: NDArray[np.uint8] | None = None, *,
    simplify_px: float = 0.0, min_area_px: int = 1, cut_px: int = CUT_PX, block_px: int | None = None,
    transform: Affine = PIXELS,
) -> PixelPolygons:  # fmt: skip
    """Polygonize a class map: its 4-connected components, as a coverage without gaps.

    Args:
        classes: Class ids, uint8 of shape (H, W); 255 is nodata and becomes no polygon.
        confidence: Confidence 0..255 of each pixel, uint8 of shape (H, W); None counts as 0.
        simplify_px: Bound of the lines, see `geoseg.vector.lines.simplify.simplify_arcs`; 0 keeps every corner.
        min_area_px: Components of fewer pixels take the class of a neighbour.
        cut_px: Period of the lattice on which lines keep a vertex.
        block_px: Side of a block; None uses one block if possible. It does not change the result.
        transform: Affine transform of the polygons' coordinates; by default x is the column and y the row.

    Returns:
        The polygons, by first pixel.

    Raises:
        ValueError: If the class map is empty or not uint8, the confidence differs in shape, ``block_px`` is not a
            multiple of ``cut_px``, or ``simplify_px`` is negative or above 1000.
    """
    if classes.dtype != np.uint8 or classes.ndim != 2:
        raise ValueError(f"A class map is uint8 of shape (H, W), got {classes.dtype} of shape {classes.shape}.")
    confidence = np.zeros_like(classes) if confidence is None else confidence
    if confidence.shape != classes.shape:
        raise ValueError(f"The class map has the shape {classes.shape}, its confidence {confidence.shape}.")
    side = _whole_side(classes.shape, cut_px) if block_px is None else block_px
    if side < 1 or side % cut_px:
        raise ValueError(f"block_px={side} is not a multiple of cut_px={cut_px}. Change one of them.")
    height, width = classes.shape
    tiling = Tiling(Lattice.of((height, width), cut_px, 0), side)
    cores = {(block.row, block.col): block.core for block in tiling.blocks()}
    blocks, borders = _label(classes, confidence, cores)
    if min_area_px > 1:
        changes = absorb_small(blocks.items(), borders, (height, width), cut_px=cut_px, min_area_px=min_area_px)
        classes = classes.copy()
        for block in blocks.values():
            classes[block.core.slices(tiling.lattice.scene)] = relabel(block, changes)
        blocks, borders = _label(classes, confidence, cores)
    traced = [
        trace_block(
            block,
            neighbours(borders, place),
            (height, width),
            cut_px=cut_px,
            simplify_px=simplify_px,
            transform=transform,
        )
        for place, block in blocks.items()
    ]
    joined = join_blocks(
        [open_polygons for _, open_polygons in traced], find_seams(borders), transform, simplify_px=simplify_px
    )
    return concatenate_polygons([*joined, *(polygons for polygons, _ in traced)])


def _whole_side(shape: tuple[int, ...], cut_px: int) -> int:
    """Side of a block that contains all pixels, or as many as are allowed; a multiple of ``cut_px``."""
    if shape[0] * shape[1] <= MAX_BLOCK_PIXELS:
        return -(-max(shape) // cut_px) * cut_px
    return isqrt(MAX_BLOCK_PIXELS) // cut_px * cut_px


def _label(
    classes: NDArray[np.uint8], confidence: NDArray[np.uint8], cores: Mapping[Place, Window]
) -> tuple[dict[Place, BlockLabels], dict[Place, BlockBorder]]:
    """Label all blocks; return them and their borders."""
    scene = Window(0, 0, *classes.shape)
    windows = {place: core.slices(scene) for place, core in cores.items()}
    blocks = {
        place: label_block(classes[window], confidence[window], cores[place], scene.width)
        for place, window in windows.items()
    }
    return blocks, {place: block.border for place, block in blocks.items()}
