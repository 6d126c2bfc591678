"""Polygonize a class map in this process, in passes over its blocks.

The first pass finds the borders of all blocks, the last one traces them: labelling a block twice costs less than
keeping all labels. A minimum area needs two more passes. Memory holds what is read at a time, all borders, and the
polygons of a block or of a batch of polygons that span blocks; everything else is in files.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from geoseg.grid.neighbours import Place
from geoseg.grid.tiling import Block
from geoseg.grid.window import Grid, Window
from geoseg.publish.arrow_files import save_table
from geoseg.publish.geodesy.pixel_area import add_areas, pixel_area
from geoseg.store.serialization import PackedFiles, pack, unpack
from geoseg.vector.blocks import BlockLabels, OpenPolygons, absorb_small, label_block, relabel, trace_block
from geoseg.vector.joining import join_blocks
from geoseg.vector.minimum_area import Changes
from geoseg.vector.not_dissolved import split_at_grid, without_aliases
from geoseg.vector.polygons import PixelPolygons
from geoseg.vector.seams import BlockBorder, find_seams, neighbours


@dataclass(frozen=True, slots=True)
class BlockPasses:
    """A class map that is read block by block, and the settings of its polygons."""

    grid: Grid
    """Grid of the class map."""
    read: Callable[[], Iterable[tuple[Block, NDArray[np.uint8]]]]
    """Reads all blocks, each with its class ids of shape (H, W), 255 for nodata; called once for each pass."""
    build: Callable[[PixelPolygons], pa.Table]
    """Adds the attributes to polygons in the CRS of the grid."""
    cut_px: int
    """Period of the cut lattice."""
    simplify_px: float
    """Bound of the lines, see `geoseg.vector.lines.simplify.simplify_arcs`."""
    min_area_px: int
    """Components of fewer pixels take the class of a neighbour."""
    read_confidence: Callable[[Window], NDArray[np.uint8]] | None = None
    """Reads the confidence of a window; None if the polygons have none."""
    not_dissolved: tuple[int, ...] = ()
    """Classes whose polygons stay cut at the lattice."""
    read_planes: Callable[[Window], NDArray[np.uint8] | None] = lambda _: None
    """Reads further values of a window that the polygons have sums of, shape (L, H, W); None without any."""

    def label(
        self, changes: Changes | None = None, *, with_confidence: bool = False
    ) -> Iterator[tuple[Block, BlockLabels]]:
        """Read and label all blocks, after ``changes`` of the classes of components."""
        for block, classes in self.read():
            read_confidence = self.read_confidence if with_confidence else None
            confidence = read_confidence(block.core) if read_confidence else np.zeros_like(classes)
            planes = self.read_planes(block.core) if with_confidence else None
            labels = self._label(classes, confidence, block.core, planes)
            if changes is not None:
                changed = without_aliases(relabel(labels, changes), self.not_dissolved)
                labels = self._label(changed, confidence, block.core, planes)
            yield block, labels

    def trace(self, borders: dict[Place, BlockBorder], folder: Path) -> list[Path]:
        """Trace all blocks and write their polygons as Arrow files to a folder.

        Args:
            borders: The borders of all blocks before any change, see `find_borders`.
            folder: Where to write.
        """
        shape, changes = self.grid.window.shape, None
        if self.min_area_px > 1:
            labelled = (((block.row, block.col), labels) for block, labels in self.label())
            changes = absorb_small(labelled, borders, shape, cut_px=self.cut_px, min_area_px=self.min_area_px)
            borders = find_borders(self.label(changes))
        area, transform = pixel_area(self.grid), self.grid.transform
        files, open_files = [], []
        for block, labels in self.label(changes, with_confidence=True):
            polygons, open_polygons = trace_block(
                add_areas(labels, area),
                neighbours(borders, (block.row, block.col)),
                shape,
                cut_px=self.cut_px,
                simplify_px=self.simplify_px,
                transform=transform,
            )
            open_files.append(folder / f"{block.name}.open")
            open_files[-1].write_bytes(pack(open_polygons))
            files.append(folder / f"{block.name}.arrow")
            save_table(files[-1], self.build(polygons))
        blocks = PackedFiles(partial(unpack, OpenPolygons), open_files)
        for number, spanning in enumerate(
            join_blocks(blocks, find_seams(borders), transform, simplify_px=self.simplify_px)
        ):
            files.append(folder / f"spanning-{number:05d}.arrow")
            save_table(files[-1], self.build(spanning))
        return files

    def _label(
        self,
        classes: NDArray[np.uint8],
        confidence: NDArray[np.uint8],
        core: Window,
        planes: NDArray[np.uint8] | None,
    ) -> BlockLabels:
        split = split_at_grid(classes, core, self.cut_px, self.not_dissolved)
        return label_block(split, confidence, core, self.grid.width, planes)


def find_borders(labelled: Iterable[tuple[Block, BlockLabels]]) -> dict[Place, BlockBorder]:
    """Borders of all blocks, by row and column of the block."""
    return {(block.row, block.col): labels.border for block, labels in labelled}
