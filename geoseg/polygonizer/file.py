"""`geoseg polygonize`: a raster of any integers to one file of polygons, block by block in this process."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa

from geoseg.config import SceneSettings
from geoseg.errors import SceneError, SettingsError
from geoseg.grid.neighbours import Place
from geoseg.grid.tiling import Lattice, Tiling
from geoseg.polygonizer.census import TINY_PX, Census, count_block
from geoseg.polygonizer.class_raster import ClassRaster, open_class_raster
from geoseg.polygonizer.passes import BlockPasses
from geoseg.polygonizer.scratch import scratch_folder
from geoseg.polygonizer.value_table import build_value_table
from geoseg.publish.provenance import Provenance
from geoseg.publish.sorting import sorted_parts
from geoseg.publish.vector_file import check_suffix, other_layers, write_vector_file
from geoseg.signals import end_on_signals
from geoseg.vector.lines.simplify import MAX_SIMPLIFY_PX
from geoseg.vector.polygonize import CUT_PX
from geoseg.vector.seams import BlockBorder

BLOCK_PX = 2048
"""Default side of a block."""
MANY_VALUES = 20
"""Most values that a message lists."""


@dataclass(frozen=True, slots=True)
class PolygonizeOptions:
    """What `polygonize_raster` reads and writes, and how."""

    simplify_px: float = 1.0
    """See `geoseg.vector.lines.simplify.simplify_arcs`; 0 keeps every corner."""
    min_area_px: int = 0
    """Components of fewer pixels take the value of a neighbour."""
    block_px: int = BLOCK_PX
    """Side of a block, a multiple of `CUT_PX`. It does not change the result."""
    values: Sequence[int] | None = None
    """Values that become polygons, all others count as nodata; None takes all."""
    overwrite: bool = False
    """Replace the output; in a GeoPackage only the layer with the name of the file, other layers stay."""
    remote: bool = False
    """Allow an ``https://`` or ``s3://`` URL as source."""
    allow_private_hosts: bool = False
    """See `geoseg.raster.source.address.locate`."""
    allow_continuous: bool = False
    """Accept a raster that looks like a continuous quantity, see `Census`. Not needed for a raster with a palette or
    class names, or with ``values``."""

    def __post_init__(self) -> None:
        if not 0 <= self.simplify_px <= MAX_SIMPLIFY_PX:
            raise SettingsError(f"simplify_px={self.simplify_px} must be between 0 and {MAX_SIMPLIFY_PX:g}.")
        if self.block_px < 1 or self.block_px % CUT_PX:
            raise SettingsError(
                f"block_px={self.block_px} is not a multiple of {CUT_PX}. "
                f"Use {max(1, self.block_px // CUT_PX) * CUT_PX}."
            )


def polygonize_raster(
    source: str | Path,
    output: str | Path,
    options: PolygonizeOptions = PolygonizeOptions(),
    warn: Callable[[str], None] = lambda _: None,
) -> int:
    """Write the 4-connected components of a class map as a file of polygons: a coverage without gaps.

    Args:
        source: A raster of one band of integers with at most 255 values, or ``options.values``.
        output: A file that ends in ``.parquet`` (GeoParquet), ``.gpkg`` or ``.fgb``. It appears when complete.
        options: What to read and write, and how.
        warn: Called with each warning, one sentence.

    Returns:
        Number of polygons.

    Raises:
        SettingsError: If the output exists, cannot be written or has an unknown suffix.
        SceneError: If the raster cannot be read, has too many values, is not of integers, looks continuous or is not
            georeferenced; if the disk is full.
        Interrupted: On SIGINT or SIGTERM.
    """
    output = Path(output)
    with end_on_signals(f"{output} was not written."):
        kept = _check_output(output, overwrite=options.overwrite)
        network = SceneSettings(remote=options.remote, allow_private_hosts=options.allow_private_hosts)
        class_map = open_class_raster(source, options.values, network)
        grid = class_map.grid
        passes = BlockPasses(
            grid,
            partial(class_map.read_blocks, Tiling(Lattice.of(grid.window.shape, CUT_PX, 0), options.block_px)),
            partial(build_value_table, grid=grid, values=class_map.values, names=class_map.names, cut_px=CUT_PX),
            CUT_PX,
            options.simplify_px,
            options.min_area_px,
        )
        with scratch_folder(output, warn) as folder, _writing(class_map.scene.path, output):
            borders, census = _survey(passes)
            named = options.values is not None or class_map.is_legend
            if census.looks_continuous and not (named or options.allow_continuous):
                raise _continuous_error(class_map.scene.path, census)
            if not census.components.any():
                warn(_no_polygon_warning(class_map, options.values))
            files = passes.trace(borders, folder)
            provenance = Provenance(options.simplify_px, CUT_PX, options.min_area_px)
            counts: list[int] = []

            def parts() -> Iterator[pa.Table]:
                for table in sorted_parts(files, grid, CUT_PX):
                    counts.append(len(table))
                    yield provenance.stamp(table)

            staged = folder / output.name
            if kept is not None:
                shutil.copyfile(output, staged)
            write_vector_file(staged, parts(), crs_wkt=grid.crs)
            staged.replace(output)
    if kept:
        warn(f"{output} keeps what else it holds: {', '.join(kept)}. Only the layer {output.stem} was replaced.")
    return sum(counts)


def _check_output(output: Path, *, overwrite: bool) -> list[str] | None:
    """Refuse an output that exists, unless it is to be replaced; return the layers that stay, see `other_layers`.

    Raises:
        SettingsError: If it exists and ``overwrite`` is False, is a folder, or cannot be inspected.
    """
    check_suffix(output)
    try:
        if output.is_dir():
            raise SettingsError(f"{output} is a folder. Name a file in it, such as {output}/polygons{output.suffix}.")
        if output.exists() and not overwrite:
            raise SettingsError(f"{output} exists already. Add --overwrite to replace a file, or name another output.")
        return other_layers(output)
    except OSError as error:
        raise SettingsError(
            f"{output} cannot be written: {error.filename or output}: {error.strerror or error}. Name another output."
        ) from error


@contextmanager
def _writing(source: str, output: Path) -> Iterator[None]:
    """Turn a failure to write into a message with the file and the reason.

    Raises:
        SceneError: If a file cannot be written.
    """
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno not in (None, errno.EIO) else error.strerror or str(error)
        room = "Free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "Check the disk and the room on it"
        raise SceneError(
            f"{source}: its polygons cannot be written to {output}: {reason}. {room}, then run the same command again; "
            "nothing was left behind."
        ) from error


def _survey(passes: BlockPasses) -> tuple[dict[Place, BlockBorder], Census]:
    """Find the borders of all blocks, and the statistics of the raster."""
    borders, census = {}, Census.empty()
    for block, labels in passes.label():
        borders[block.row, block.col] = labels.border
        census += count_block(labels)
    return borders, census


def _continuous_error(path: str, census: Census) -> SceneError:
    return SceneError(
        f"{path} looks like a quantity that varies continuously, such as a probability or a height, and not like "
        f"classes: {census.values} values in {census.count:,} areas, {100 * census.tiny // census.count} % of them of "
        f"{TINY_PX} pixels at most, beside others of nearly the same value. Polygonize the class map, or reclassify it "
        "first, such as with gdal_calc.py; name the values you want with --values; or give --allow-continuous to get "
        "all of these polygons."
    )


def _no_polygon_warning(class_map: ClassRaster, values: Sequence[int] | None) -> str:
    path = class_map.scene.path
    if values is None:
        return f"{path} has no valid pixel, all are nodata or masked: no polygon."
    occurring = class_map.occurring()
    listed = ", ".join(map(str, occurring[:MANY_VALUES])) + (", ..." if len(occurring) > MANY_VALUES else "")
    return f"none of the values {', '.join(map(str, values))} occurs in {path}: no polygon. " + (
        f"It holds {listed}." if occurring else "Look at its values, such as with gdalinfo -hist."
    )


def parse_values(text: str) -> tuple[int, ...]:
    """Parse integers that are separated by commas.

    Raises:
        SettingsError: If it is anything else.
    """
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError as error:
        raise SettingsError(f"values={text!r} are not integers with commas between them, such as 1,2,3.") from error
