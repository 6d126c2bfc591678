"""Polygonize a raster of integers block by block in this process.

The raster is read once for the borders of its blocks and once for the polygons: labelling a block twice costs less than
keeping all labels. A minimum area needs two more passes. Memory holds one row of blocks, all borders, and the polygons
of a block or of a batch of polygons that span blocks; everything else is in files.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from geoseg.grid.neighbours import Place
from geoseg.grid.tiling import Block, Tiling
from geoseg.grid.window import Window
from geoseg.polygonizer.census import Census, count_block
from geoseg.polygonizer.class_raster import ClassRaster
from geoseg.polygonizer.value_table import build_value_table
from geoseg.publish.arrow_files import save_table
from geoseg.publish.geodesy.pixel_area import add_areas, pixel_area
from geoseg.store.serialization import PackedFiles, pack, unpack
from geoseg.vector.blocks import BlockLabels, OpenPolygons, find_block_boundaries, label_block, relabel, trace_block
from geoseg.vector.components import Components, concatenate_components
from geoseg.vector.joining import join_blocks
from geoseg.vector.minimum_area import Boundaries, Changes, absorb, concatenate_boundaries
from geoseg.vector.polygonize import CUT_PX
from geoseg.vector.polygons import PixelPolygons
from geoseg.vector.seams import BlockBorder, find_seams, neighbours


@dataclass(frozen=True, slots=True)
class RasterBlocks:
    """A class raster divided into blocks."""

    class_map: ClassRaster
    tiling: Tiling
    changes: Changes | None = None
    """Components that take another class, see `absorb`."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the class map."""
        return self.class_map.grid.height, self.class_map.grid.width

    def survey(self) -> tuple[dict[Place, BlockBorder], Census]:
        """Find the borders of all blocks, and the statistics of the raster."""
        borders, census = {}, Census.empty()
        for block, labels in self.label():
            borders[block.row, block.col] = labels.border
            census += count_block(labels)
        return borders, census

    def trace(
        self, borders: dict[Place, BlockBorder], folder: Path, simplify_px: float, min_area_px: int
    ) -> list[Path]:
        """Trace all blocks and write their polygons as Arrow files to a folder."""
        transform = self.class_map.grid.transform
        if min_area_px > 1:
            work = replace(self, changes=self.absorb(borders, min_area_px))
            return work.trace(work.survey()[0], folder, simplify_px, 0)
        area = pixel_area(self.class_map.grid)
        files, open_files = [], []
        for block, labels in self.label():
            around = neighbours(borders, (block.row, block.col))
            polygons, open_polygons = trace_block(
                add_areas(labels, area), around, self.shape, cut_px=CUT_PX, simplify_px=simplify_px, transform=transform
            )
            open_files.append(folder / f"{block.name}.open")
            open_files[-1].write_bytes(pack(open_polygons))
            files.append(self.keep(folder / f"{block.name}.arrow", polygons))
        blocks = PackedFiles(partial(unpack, OpenPolygons), open_files)
        for number, spanning in enumerate(join_blocks(blocks, find_seams(borders), transform)):
            files.append(self.keep(folder / f"spanning-{number:05d}.arrow", spanning))
        return files

    def absorb(self, borders: dict[Place, BlockBorder], min_area_px: int) -> Changes:
        """Find the components that take another class."""
        components: list[Components] = []
        boundaries: list[Boundaries] = []
        for block, labels in self.label():
            around = neighbours(borders, (block.row, block.col))
            boundaries.append(find_block_boundaries(labels, around, self.shape, cut_px=CUT_PX))
            components.append(labels.components)
        return absorb(
            concatenate_components(components), find_seams(borders), concatenate_boundaries(boundaries), min_area_px
        )

    def label(self) -> Iterator[tuple[Block, BlockLabels]]:
        """Read and label the blocks in raster order."""
        width = self.class_map.grid.width
        for row in range(self.tiling.block_rows):
            first = self.tiling.block(row, 0).core
            # Read a row of blocks at once: a file with strips as wide as the raster would be decoded for every block.
            strip = Window.from_bounds(first.row, 0, first.row_stop, width)
            classes = self.class_map.read(strip)
            for col in range(self.tiling.block_cols):
                block = self.tiling.block(row, col)
                pixels = classes[block.core.slices(strip)]
                labels = label_block(pixels, np.zeros_like(pixels), block.core, width)
                if self.changes is not None:
                    pixels = relabel(labels, self.changes)
                    labels = label_block(pixels, np.zeros_like(pixels), block.core, width)
                yield block, labels

    def keep(self, path: Path, polygons: PixelPolygons) -> Path:
        """Write polygons with their attributes as an Arrow file."""
        grid, values, names = self.class_map.grid, self.class_map.values, self.class_map.names
        save_table(path, build_value_table(polygons, grid, values, names, cut_px=CUT_PX))
        return path
