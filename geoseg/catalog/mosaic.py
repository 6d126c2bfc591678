"""Describe many files or Items as one scene."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime

import numpy as np

from geoseg.catalog.candidate import Candidate, join, of_file, ordered_as
from geoseg.catalog.dates import number_dates
from geoseg.catalog.grids import fit_grid
from geoseg.catalog.item_source import ItemReader, with_versions
from geoseg.catalog.look_up import look_up
from geoseg.config import SceneSettings
from geoseg.errors import SceneError
from geoseg.mosaic_settings import GridSettings, MosaicSettings
from geoseg.raster.mosaic.composite import Composite, Pick
from geoseg.raster.source.address import is_prefixed
from geoseg.raster.source.env import gdal_env
from geoseg.raster.source.scene import Scene, describe
from geoseg.stac.item import Item

_THREADS = 8
"""Remote files that are described at a time: most of it waits for the network. Local ones are quicker one by one, since
GDAL's opening holds Python's lock."""
_READDIR_LIMIT = 1000
"""GDAL looks for sidecar files in the listing of a folder, unless it holds more files than this: then one by one."""


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
    name, found = mosaic_name(mosaic), look_up(mosaic.items, settings)
    items = [one for one in found if isinstance(one, Item)]
    files = [one for one in found if isinstance(one, str)]
    if items and files:
        raise SceneError(
            f"{name} mixes STAC Items ({items[0].id}) with files ({files[0]}). Give Items for all, or make two mosaics."
        )
    candidates = _of_items(items, settings, names) if items else _of_files(files, settings)
    candidates = _ordered(candidates, mosaic.order, name)
    grid = mosaic.grid
    if grid.resolution_m is None and settings.resolution_m is not None:
        grid = grid.model_copy(update={"resolution_m": settings.resolution_m})
    return compose(name, mosaic.id, candidates, grid, settings, mosaic.pick)


def mosaic_name(mosaic: MosaicSettings) -> str:
    """Name of a mosaic in messages."""
    return f"mosaic {mosaic.id}"


def compose(
    name: str,
    scene_id: str,
    candidates: Sequence[Candidate],
    grid: GridSettings,
    settings: SceneSettings,
    pick: Pick = "first",
) -> Scene:
    """Place sources on a common grid and describe them as one scene; errors as of `describe_mosaic`."""
    if pick != "first":  # their order changes no result, and so no fingerprint
        candidates = sorted(candidates, key=lambda one: (one.source.name, one.files))
    fitted, windows = fit_grid([one.grid for one in candidates], grid, name)
    composite = Composite((), np.empty((0, 4), np.int64), settings, pick, resampling=settings.resampling)
    scene = join(name, scene_id, candidates, fitted, windows, composite)
    if pick != "fuse" or scene.composite is None:
        return scene
    dates = number_dates([source.observed_at for source in scene.composite.sources], fitted, name)
    return replace(scene, composite=replace(scene.composite, dates=dates))


def _of_files(paths: Sequence[str], settings: SceneSettings) -> list[Candidate]:
    remote = any(is_prefixed(path) for path in paths)
    # Without a listing for each file where GDAL would give it up anyway.
    options = {"GDAL_DISABLE_READDIR_ON_OPEN": "TRUE"} if len(paths) > _READDIR_LIMIT else {}
    with ThreadPoolExecutor(_THREADS) as pool, gdal_env(**options):
        described = (pool.map if remote else map)(lambda path: describe(path, settings), paths)
        files = [of_file(path, file) for path, file in zip(paths, described, strict=True)]
    return [ordered_as(file, files[0]) for file in files]


def _of_items(items: Sequence[Item], settings: SceneSettings, names: Sequence[str]) -> list[Candidate]:
    reader = ItemReader(names, settings)
    return with_versions([reader.read(item) for item in items])


def _ordered(candidates: list[Candidate], order: str, name: str) -> list[Candidate]:
    """Sources by descending priority; those that are equal keep their order."""
    if order == "given":
        return candidates
    what, sign = ("observed_at", -1.0) if order == "newest" else ("cloud_percent", 1.0)
    unknown = next((one for one in candidates if getattr(one, what) is None), None)
    if unknown is not None:
        raise SceneError(
            f"{name}: order={order} needs {'the time' if sign < 0 else 'eo:cloud_cover'} of each item, and "
            f"{unknown.source.name} does not tell it. Only STAC Items can. Use order: given."
        )
    return sorted(candidates, key=lambda one: sign * _number(getattr(one, what)))


def _number(value: datetime | float) -> float:
    return value.timestamp() if isinstance(value, datetime) else value
