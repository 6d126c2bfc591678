"""Describe many files or Items as one scene."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from geoseg.catalog.band_files import names_item, read_item
from geoseg.catalog.candidate import Candidate, join, of_file, ordered_as
from geoseg.catalog.grids import fit_grid
from geoseg.catalog.item_source import ItemReader, with_versions
from geoseg.catalog.look_up import find_files
from geoseg.config import GridSettings, MosaicSettings, SceneSettings
from geoseg.errors import SceneError
from geoseg.raster.mosaic.composite import Composite
from geoseg.raster.source.scene import Scene, describe

_THREADS = 8
"""Files that are described at a time: most of it waits for the disk or the network."""


def describe_mosaic(
    mosaic: MosaicSettings, settings: SceneSettings = SceneSettings(), names: Sequence[str] = ()
) -> Scene:
    """Describe many files or Items as one scene.

    Args:
        mosaic: Its items, grid and order.
        settings: How each file is read.
        names: The model's names of its bands, by which those of Items are found.

    Raises:
        SceneError: If a file cannot be used, or does not fit to the others.
        SettingsError: If the settings name no usable CRS.
    """
    name, paths = mosaic_name(mosaic), find_files(mosaic.items)
    items = [names_item(path) for path in paths]
    if any(items) and not all(items):
        file = paths[items.index(False)]
        raise SceneError(
            f"{name} mixes STAC Items ({paths[items.index(True)]}) with files ({file}). Give Items for all, or make "
            "two mosaics."
        )
    candidates = _of_items(paths, settings, names) if any(items) else _of_files(paths, settings)
    grid = mosaic.grid
    if grid.resolution_m is None and settings.resolution_m is not None:
        grid = grid.model_copy(update={"resolution_m": settings.resolution_m})
    return compose(name, mosaic.id, candidates, grid, settings)


def mosaic_name(mosaic: MosaicSettings) -> str:
    """Name of a mosaic in messages."""
    return f"mosaic {mosaic.id}"


def compose(
    name: str, scene_id: str, candidates: Sequence[Candidate], grid: GridSettings, settings: SceneSettings
) -> Scene:
    """Place sources on a common grid and describe them as one scene; errors as of `describe_mosaic`."""
    fitted, windows = fit_grid([one.grid for one in candidates], grid, name)
    composite = Composite((), np.empty((0, 4), np.int64), settings, "first", settings.resampling)
    return join(name, scene_id, candidates, fitted, windows, composite)


def _of_files(paths: Sequence[str], settings: SceneSettings) -> list[Candidate]:
    with ThreadPoolExecutor(_THREADS) as pool:
        files = [
            of_file(path, file)
            for path, file in zip(paths, pool.map(lambda path: describe(path, settings), paths), strict=True)
        ]
    return [ordered_as(file, files[0]) for file in files]


def _of_items(paths: Sequence[str], settings: SceneSettings, names: Sequence[str]) -> list[Candidate]:
    reader = ItemReader(names, settings)
    with ThreadPoolExecutor(_THREADS) as pool:
        return with_versions([reader.read(item) for item in pool.map(lambda path: read_item(path, settings), paths)])
