"""Polygonize any raster of integers, out of core and in this process.

The raster is read once for the rims of its blocks and once for the polygons: labelling a block twice is cheap, keeping
all labels is not. A minimum area takes two more passes. In memory are one row of blocks, all rims, and of the polygons
those of a block and those that touch block borders.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from geoseg.errors import SettingsError
from geoseg.grid.tiling import Block, Lattice, Tiling
from geoseg.grid.window import Window
from geoseg.publish.facts import stamp
from geoseg.publish.pixel_area import add_areas, pixel_area
from geoseg.publish.sorting import sorted_parts, write_table
from geoseg.publish.values import build_value_table
from geoseg.publish.vector_file import check_suffix, write_vector_file
from geoseg.raster.integer_map import IntegerMap, open_integer_map
from geoseg.vector.attributes import concatenate
from geoseg.vector.blocks import BlockLabels, bound_block, join_blocks, label_block, recolour, trace_block
from geoseg.vector.components import Components
from geoseg.vector.engine import CUT_PX
from geoseg.vector.minimum_area import Boundaries, Changes, absorb, concatenate_boundaries
from geoseg.vector.polygons import PixelPolygons
from geoseg.vector.seams import Place, Rim, find_seams, neighbours
from geoseg.vector.simplify import MAX_TOLERANCE_PX

BLOCK_PX = 2048
"""Default side of a block."""


def polygonize_raster(
    source: str | Path,
    output: str | Path,
    *,
    simplify_px: float = 1.0,
    min_area_px: int = 0,
    block_px: int = BLOCK_PX,
    values: Sequence[int] | None = None,
    overwrite: bool = False,
) -> int:
    """Write the 4-connected components of a class map as a file of polygons: a coverage without a gap.

    Args:
        source: A raster of one band of integers with at most 255 values, or ``values``.
        output: A file that ends in ``.parquet`` (GeoParquet), ``.gpkg`` or ``.fgb``. It appears when it is complete.
        simplify_px: See `geoseg.vector.simplify.simplify_arcs`; 0 keeps every corner.
        min_area_px: Components of fewer pixels take the value of a neighbour.
        block_px: Side of a block, a multiple of `CUT_PX`. It cannot change the result.
        values: Values that become polygons, all others count as nodata; None takes all.
        overwrite: Replace the output.

    Returns:
        Number of polygons.

    Raises:
        SettingsError: If the output exists or its suffix is unknown, or an option lies beyond its limits.
        SceneError: If the raster cannot be read, holds too many values or no integers, or has no place on the earth.
    """
    output = Path(output)
    check_suffix(output)
    if output.is_dir() or (output.exists() and not overwrite):
        raise SettingsError(f"{output} exists already. Add --overwrite to replace a file, or name another output.")
    if not 0 <= simplify_px <= MAX_TOLERANCE_PX:
        raise SettingsError(f"simplify_px={simplify_px} must be between 0 and {MAX_TOLERANCE_PX:g}.")
    if block_px < 1 or block_px % CUT_PX:
        raise SettingsError(
            f"block_px={block_px} is not a multiple of {CUT_PX}. Use {max(1, block_px // CUT_PX) * CUT_PX}."
        )
    class_map = open_integer_map(source, values)
    grid = class_map.grid
    work = _Work(class_map, Tiling(Lattice.of((grid.height, grid.width), CUT_PX, 0), block_px))
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as name:
        folder = Path(name)
        files = work.trace(folder, simplify_px, min_area_px)
        counts: list[int] = []

        def parts() -> Iterator[pa.Table]:
            for table in sorted_parts(files, grid, CUT_PX):
                counts.append(len(table))
                yield stamp(table, simplify_px=simplify_px, min_area_px=min_area_px, cut_px=CUT_PX)

        staged = folder / output.name
        write_vector_file(staged, parts(), crs_wkt=grid.crs)
        staged.replace(output)
    return sum(counts)


def parse_values(text: str) -> tuple[int, ...]:
    """Read integers with commas between them.

    Raises:
        SettingsError: If it is anything else.
    """
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError as error:
        raise SettingsError(f"values={text!r} are not integers with commas between them, such as 1,2,3.") from error


@dataclass(frozen=True, slots=True)
class _Work:
    """A class map cut into blocks."""

    class_map: IntegerMap
    tiling: Tiling
    changes: Changes | None = None
    """Components that take another class."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the class map."""
        return self.class_map.grid.height, self.class_map.grid.width

    def trace(self, folder: Path, simplify_px: float, min_area_px: int) -> list[Path]:
        """Trace all blocks and keep their polygons as Arrow files in a folder."""
        rims, transform = self.find_rims(), self.class_map.grid.transform
        if min_area_px > 1:
            work = replace(self, changes=self.absorb(rims, min_area_px))
            return work.trace(folder, simplify_px, 0)
        area = pixel_area(self.class_map.grid)
        files, unfinished = [], []
        for block, labels in self.label():
            around = neighbours(rims, (block.row, block.col))
            polygons, rest = trace_block(
                add_areas(labels, area), around, self.shape, cut_px=CUT_PX, simplify_px=simplify_px, transform=transform
            )
            unfinished.append(rest)
            files.append(self.keep(folder / f"{block.name}.arrow", polygons))
        spanning = join_blocks(unfinished, find_seams(rims), transform)
        files.append(self.keep(folder / "spanning.arrow", spanning))
        return files

    def absorb(self, rims: dict[Place, Rim], min_area_px: int) -> Changes:
        """Decide which components take another class."""
        components: list[Components] = []
        boundaries: list[Boundaries] = []
        for block, labels in self.label():
            around = neighbours(rims, (block.row, block.col))
            boundaries.append(bound_block(labels, around, self.shape, cut_px=CUT_PX))
            components.append(labels.components)
        return absorb(concatenate(components), find_seams(rims), concatenate_boundaries(boundaries), min_area_px)

    def find_rims(self) -> dict[Place, Rim]:
        """What blocks show their neighbours."""
        return {(block.row, block.col): labels.rim for block, labels in self.label()}

    def label(self) -> Iterator[tuple[Block, BlockLabels]]:
        """Read and label the blocks in raster order."""
        width = self.class_map.grid.width
        for row in range(self.tiling.block_rows):
            first = self.tiling.block(row, 0).core
            # A row of blocks at a time: files whose strips are as wide as the raster would be decoded for each block.
            strip = Window.from_bounds(first.row, 0, first.row_stop, width)
            classes = self.class_map.read(strip)
            for col in range(self.tiling.block_cols):
                block = self.tiling.block(row, col)
                pixels = classes[block.core.slices(strip)]
                labels = label_block(pixels, np.zeros_like(pixels), block.core, width)
                if self.changes is not None:
                    pixels = recolour(labels, self.changes)
                    labels = label_block(pixels, np.zeros_like(pixels), block.core, width)
                yield block, labels

    def keep(self, path: Path, polygons: PixelPolygons) -> Path:
        """Give polygons their attributes and write them as an Arrow file."""
        grid, values, names = self.class_map.grid, self.class_map.values, self.class_map.names
        path.write_bytes(write_table(build_value_table(polygons, grid, values, names, stride_px=CUT_PX)))
        return path
