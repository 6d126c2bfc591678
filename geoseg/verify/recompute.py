"""Do the work of a scene's polygons again, from its class map and its confidence.

Block by block, as the run did, but with blocks of another size and without its store. In memory are one block, the
borders of all, and a batch of the polygons that touch block borders; all else waits in a folder. With a minimum area
the class map is passed twice more.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from geoseg.grid.legend import Legend
from geoseg.grid.neighbours import Place
from geoseg.grid.tiling import Block, Lattice, Tiling
from geoseg.grid.window import Grid
from geoseg.publish.arrow_files import save_table
from geoseg.publish.geodesy.pixel_area import add_areas, pixel_area
from geoseg.publish.polygon_table import build_table
from geoseg.publish.provenance import Provenance
from geoseg.publish.sorting import sorted_parts
from geoseg.raster.class_map import ReadBand, open_band
from geoseg.store.serialization import PackedFiles, pack, unpack
from geoseg.vector.blocks import BlockLabels, OpenPolygons, find_block_boundaries, label_block, relabel, trace_block
from geoseg.vector.components import concatenate_components
from geoseg.vector.joining import join_blocks
from geoseg.vector.minimum_area import Changes, absorb, concatenate_boundaries
from geoseg.vector.not_dissolved import split_at_grid, without_aliases
from geoseg.vector.polygons import PixelPolygons
from geoseg.vector.seams import BlockBorder, find_seams, neighbours

BLOCK_PX = 2048
"""Side of a block at most, unless the cut lattice is wider."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides the polygons of a scene besides its pixels."""

    grid: Grid
    legend: Legend
    made: Provenance
    """What the files say of how they were made."""
    crs: str
    """``native`` or ``EPSG:nnnn``."""
    observed_at: datetime | None
    model: str
    """Name of the model."""


def recompute(classes: Path, confidence: Path, recipe: Recipe, folder: Path) -> Iterator[pa.Table]:
    """Polygonize a class map as a run does.

    Args:
        classes: The class map.
        confidence: Its confidence, on the same grid.
        recipe: How.
        folder: An empty folder for what waits to be sorted, about as large as the polygons without compression.

    Yields:
        The rows in the order of publication, in tables as of `geoseg.publish.sorting.sorted_parts`.

    Raises:
        SceneError: If a raster cannot be read, or as `geoseg.publish.polygon_table.build_table`.
    """
    cut_px = recipe.made.cut_px
    lattice = Lattice.of((recipe.grid.height, recipe.grid.width), cut_px, 0)
    with open_band(classes) as read_classes, open_band(confidence) as read_confidence:
        work = _Work(recipe, Tiling(lattice, max(1, BLOCK_PX // cut_px) * cut_px), read_classes, read_confidence)
        if recipe.made.min_area_px > 1:
            work = replace(work, changes=work.absorb())
        files = work.trace(folder)
    yield from sorted_parts(files, recipe.grid, cut_px)


@dataclass(frozen=True, slots=True)
class _Work:
    """A class map cut into blocks."""

    recipe: Recipe
    tiling: Tiling
    read_classes: ReadBand
    read_confidence: ReadBand
    changes: Changes | None = None
    """Components that take another class."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the class map."""
        return self.recipe.grid.height, self.recipe.grid.width

    def absorb(self) -> Changes:
        """Decide which components take another class."""
        borders, components, boundaries = self.find_borders(), [], []
        for block, labels in self.label():
            around = neighbours(borders, (block.row, block.col))
            boundaries.append(find_block_boundaries(labels, around, self.shape, cut_px=self.recipe.made.cut_px))
            components.append(labels.components)
        return absorb(
            concatenate_components(components),
            find_seams(borders),
            concatenate_boundaries(boundaries),
            self.recipe.made.min_area_px,
        )

    def trace(self, folder: Path) -> list[Path]:
        """Trace all blocks and keep their polygons as Arrow files in a folder."""
        borders, made, transform = self.find_borders(), self.recipe.made, self.recipe.grid.transform
        area = pixel_area(self.recipe.grid)
        files: list[Path] = []
        rests: list[Path] = []
        for block, labels in self.label(confident=True):
            around = neighbours(borders, (block.row, block.col))
            polygons, rest = trace_block(
                add_areas(labels, area),
                around,
                self.shape,
                cut_px=made.cut_px,
                simplify_px=made.simplify_px,
                transform=transform,
            )
            rests.append(folder / f"{block.name}.rest")
            rests[-1].write_bytes(pack(rest))
            files.append(self.keep(folder / f"{block.name}.arrow", polygons))
        unfinished = PackedFiles(partial(unpack, OpenPolygons), rests)
        for number, spanning in enumerate(join_blocks(unfinished, find_seams(borders), transform)):
            files.append(self.keep(folder / f"spanning-{number:05d}.arrow", spanning))
        return files

    def find_borders(self) -> dict[Place, BlockBorder]:
        """What blocks show their neighbours."""
        return {(block.row, block.col): labels.border for block, labels in self.label()}

    def label(self, *, confident: bool = False) -> Iterator[tuple[Block, BlockLabels]]:
        """Read and label the blocks in raster order; only ``confident`` sums up their confidence."""
        width, made = self.recipe.grid.width, self.recipe.made
        for block in self.tiling.blocks():
            classes, core = self.read_classes(block.core), block.core
            confidence = self.read_confidence(core) if confident else np.zeros_like(classes)
            labels = label_block(split_at_grid(classes, core, made.cut_px, made.not_dissolved), confidence, core, width)
            if self.changes is not None:
                classes = without_aliases(relabel(labels, self.changes), made.not_dissolved)
                split = split_at_grid(classes, core, made.cut_px, made.not_dissolved)
                labels = label_block(split, confidence, core, width)
            yield block, labels

    def keep(self, path: Path, polygons: PixelPolygons) -> Path:
        """Give the polygons that are published their attributes and write them as an Arrow file."""
        made, recipe = self.recipe.made, self.recipe
        polygons = replace(polygons, class_id=without_aliases(polygons.class_id, made.not_dissolved))
        if made.classes is not None:
            polygons = polygons.take(np.isin(polygons.class_id, made.classes))
        table = build_table(
            polygons,
            recipe.grid,
            recipe.legend,
            cut_px=made.cut_px,
            crs=recipe.crs,
            observed_at=recipe.observed_at,
            model=recipe.model,
        )
        save_table(path, table)
        return path
