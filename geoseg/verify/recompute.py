"""Compute the polygons of a scene again, from its class map and confidence.

It works block by block, as the run, but with another block size and without the store. Memory holds one block, the
borders of all blocks, and a batch of the polygons that touch block borders; everything else is in a folder. A minimum
area needs two more passes over the class map.
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
"""Largest side of a block, unless the cut lattice is wider."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides the polygons of a scene, except its pixels."""

    grid: Grid
    legend: Legend
    provenance: Provenance
    """Settings in the metadata of the published files."""
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
        recipe: Settings and attributes.
        folder: An empty folder for temporary files, about as large as the polygons without compression.

    Yields:
        The rows in the order of publication, in tables as of `geoseg.publish.sorting.sorted_parts`.

    Raises:
        SceneError: If a raster cannot be read, or as `geoseg.publish.polygon_table.build_table`.
    """
    cut_px = recipe.provenance.cut_px
    lattice = Lattice.of((recipe.grid.height, recipe.grid.width), cut_px, 0)
    with open_band(classes) as read_classes, open_band(confidence) as read_confidence:
        work = _Work(recipe, Tiling(lattice, max(1, BLOCK_PX // cut_px) * cut_px), read_classes, read_confidence)
        if recipe.provenance.min_area_px > 1:
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
    """Components that get another class."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the class map."""
        return self.recipe.grid.height, self.recipe.grid.width

    def absorb(self) -> Changes:
        """Find the components that get another class."""
        borders, components, boundaries = self.find_borders(), [], []
        for block, labels in self.label():
            around = neighbours(borders, (block.row, block.col))
            boundaries.append(find_block_boundaries(labels, around, self.shape, cut_px=self.recipe.provenance.cut_px))
            components.append(labels.components)
        return absorb(
            concatenate_components(components),
            find_seams(borders),
            concatenate_boundaries(boundaries),
            self.recipe.provenance.min_area_px,
        )

    def trace(self, folder: Path) -> list[Path]:
        """Trace all blocks and write their polygons as Arrow files."""
        borders, provenance, transform = self.find_borders(), self.recipe.provenance, self.recipe.grid.transform
        area = pixel_area(self.recipe.grid)
        files: list[Path] = []
        rests: list[Path] = []
        for block, labels in self.label(confident=True):
            around = neighbours(borders, (block.row, block.col))
            polygons, rest = trace_block(
                add_areas(labels, area),
                around,
                self.shape,
                cut_px=provenance.cut_px,
                simplify_px=provenance.simplify_px,
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
        """The borders of all blocks."""
        return {(block.row, block.col): labels.border for block, labels in self.label()}

    def label(self, *, confident: bool = False) -> Iterator[tuple[Block, BlockLabels]]:
        """Read and label the blocks in raster order; without ``confident``, the sums of confidence are 0."""
        width, provenance = self.recipe.grid.width, self.recipe.provenance
        for block in self.tiling.blocks():
            classes, core = self.read_classes(block.core), block.core
            confidence = self.read_confidence(core) if confident else np.zeros_like(classes)
            labels = label_block(
                split_at_grid(classes, core, provenance.cut_px, provenance.not_dissolved), confidence, core, width
            )
            if self.changes is not None:
                classes = without_aliases(relabel(labels, self.changes), provenance.not_dissolved)
                split = split_at_grid(classes, core, provenance.cut_px, provenance.not_dissolved)
                labels = label_block(split, confidence, core, width)
            yield block, labels

    def keep(self, path: Path, polygons: PixelPolygons) -> Path:
        """Select the published classes, add the attributes, and write the rows as an Arrow file."""
        provenance, recipe = self.recipe.provenance, self.recipe
        polygons = replace(polygons, class_id=without_aliases(polygons.class_id, provenance.not_dissolved))
        if provenance.classes is not None:
            polygons = polygons.take(np.isin(polygons.class_id, provenance.classes))
        table = build_table(
            polygons,
            recipe.grid,
            recipe.legend,
            cut_px=provenance.cut_px,
            crs=recipe.crs,
            observed_at=recipe.observed_at,
            model=recipe.model,
        )
        save_table(path, table)
        return path
