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
from numpy.typing import NDArray

from geoseg.grid.decision import SUMMED, summed_planes
from geoseg.grid.legend import Legend
from geoseg.grid.tiling import Lattice, Tiling
from geoseg.grid.window import Grid, Window
from geoseg.polygonizer.passes import BlockPasses, find_borders
from geoseg.publish.polygon_table import build_table
from geoseg.publish.provenance import Provenance
from geoseg.publish.published_rasters import open_confidence, open_layers
from geoseg.publish.sorting import sorted_parts
from geoseg.raster.maps.class_map import open_band
from geoseg.vector.not_dissolved import without_aliases
from geoseg.vector.polygons import PixelPolygons

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
    layers: tuple[str, ...] = ()
    """Layers of whose rasters the rows have columns."""


def recompute(classes: Path, recipe: Recipe, folder: Path) -> Iterator[pa.Table]:
    """Polygonize a class map as a run does.

    Args:
        classes: The class map; confidence and layers lie beside it, on the same grid.
        recipe: Settings and attributes.
        folder: An empty folder for temporary files, about as large as the polygons without compression.

    Yields:
        The rows in the order of publication, in tables as of `geoseg.publish.sorting.sorted_parts`.

    Raises:
        SceneError: If a raster cannot be read, or as `geoseg.publish.polygon_table.build_table`.
    """
    grid, provenance = recipe.grid, recipe.provenance
    cut_px = provenance.cut_px
    tiling = Tiling(Lattice.of(grid.window.shape, cut_px, 0), max(1, BLOCK_PX // cut_px) * cut_px)
    names, rasters = [name for name in SUMMED if name in recipe.layers], classes.parent
    with (
        open_band(classes) as read_classes,
        open_confidence(rasters) as read_confidence,
        open_layers(rasters, names) as read_layers,
    ):

        def read_planes(window: Window) -> NDArray[np.uint8] | None:
            return summed_planes({name: read(window) for name, read in read_layers.items()})

        passes = BlockPasses(
            grid,
            lambda: ((block, read_classes(block.core)) for block in tiling.blocks()),
            partial(_build, recipe),
            cut_px,
            provenance.simplify_px,
            provenance.min_area_px,
            read_confidence,
            provenance.not_dissolved,
            read_planes,
        )
        files = passes.trace(find_borders(passes.label()), folder)
    yield from sorted_parts(files, grid, cut_px)


def _build(recipe: Recipe, polygons: PixelPolygons) -> pa.Table:
    """Select the published classes and add the attributes."""
    provenance = recipe.provenance
    polygons = replace(polygons, class_id=without_aliases(polygons.class_id, provenance.not_dissolved))
    if provenance.classes is not None:
        polygons = polygons.take(np.isin(polygons.class_id, provenance.classes))
    return build_table(
        polygons,
        recipe.grid,
        recipe.legend,
        cut_px=provenance.cut_px,
        crs=recipe.crs,
        observed_at=recipe.observed_at,
        model=recipe.model,
        layers=recipe.layers,
    )
