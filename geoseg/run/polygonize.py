"""Polygonize any raster of integers, out of core and in this process.

The raster is read once for the rims of its blocks and once for the polygons: labelling a block twice is cheap, keeping
all labels is not. A minimum area takes two more passes. In memory are one row of blocks, all rims, and of the polygons
those of a block and those that touch block borders.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from geoseg.errors import SettingsError
from geoseg.grid.tiling import Lattice, Tiling
from geoseg.publish.facts import stamp
from geoseg.publish.sorting import sorted_parts
from geoseg.publish.vector_file import check_suffix, write_vector_file
from geoseg.raster.integer_map import open_integer_map
from geoseg.run.raster_blocks import RasterBlocks
from geoseg.vector.engine import CUT_PX
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
    work = RasterBlocks(class_map, Tiling(Lattice.of((grid.height, grid.width), CUT_PX, 0), block_px))
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
