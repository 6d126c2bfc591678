"""What a run would take: `geoseg scenes list`."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.warp import transform_bounds

from geoseg.catalog.look_up import look_up
from geoseg.config import SceneSettings
from geoseg.errors import SceneError, SettingsError
from geoseg.mosaic_settings import SearchSettings
from geoseg.raster.mosaic.placement import crs_of
from geoseg.raster.source.env import gdal_env
from geoseg.raster.source.scene import Scene, describe
from geoseg.stac.item import Item, bands_of
from geoseg.strict_yaml import read_yaml

YAML_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Listed:
    """A file or Item that was found."""

    name: str
    """Path of a file, id of an Item."""
    time: str | None = None
    """ISO 8601, UTC."""
    cloud_percent: float | None = None
    bbox: tuple[float, ...] | None = None
    """West, south, east, north in degrees."""
    bands: tuple[str, ...] = ()
    """Names of the bands, or keys of the assets."""
    error: str | None = None
    """Why it cannot be used."""


def list_scenes(spec: str, settings: SceneSettings) -> list[Listed]:
    """List what an entry of ``scenes:`` or ``mosaics.items`` stands for.

    Args:
        spec: Such an entry, or a ``.yaml`` file with a search or a list of entries.
        settings: ``remote`` and ``allow_private_hosts`` apply.

    Raises:
        SceneError: If it stands for nothing or cannot be read.
        SettingsError: If the YAML file holds something else.
    """
    entries = _entries(Path(spec)) if spec.lower().endswith(YAML_SUFFIXES) else [spec]
    return [_of_item(one) if isinstance(one, Item) else _of_file(one, settings) for one in look_up(entries, settings)]


def _entries(file: Path) -> Iterable[str | SearchSettings]:
    try:
        content = read_yaml(file.read_text(encoding="utf-8"))
        entries = content if isinstance(content, list) else [content]
        return [entry if isinstance(entry, str) else SearchSettings.model_validate(entry) for entry in entries]
    except (OSError, ValueError) as error:  # includes pydantic's
        first = str(error).partition("\n")[0]
        raise SettingsError(
            f"{file} holds no search and no list of files: {first}. Write `search:` with the address of a STAC API "
            "and `collections:`, or a list of paths."
        ) from error


def _of_item(item: Item) -> Listed:
    box = item.document.get("bbox")
    if not box and isinstance(geometry := item.document.get("geometry"), dict):
        box = _around(geometry.get("coordinates"))
    sides = None
    if isinstance(box, list | tuple) and len(box) >= 4:
        half = len(box) // 2
        sides = (*map(float, box[:2]), *map(float, box[half : half + 2]))
    elif isinstance(box, dict):  # of stac-geoparquet
        sides = tuple(float(box[side]) for side in ("xmin", "ymin", "xmax", "ymax"))
    time = item.time.isoformat() if item.time else None
    names = tuple(key for key in item.assets if any(band.facts.get("href") for band in bands_of(item, key)))
    return Listed(item.id, time, item.cloud_percent, sides, names)


def _of_file(path: str, settings: SceneSettings) -> Listed:
    try:
        file = describe(path, settings, with_versions=False)
    except SceneError as error:
        return Listed(path, error=str(error))
    names = tuple(name or f"{number}" for number, name in enumerate(file.descriptions, 1))
    return Listed(path, bbox=_bbox(file), bands=names)


def _bbox(file: Scene) -> tuple[float, ...] | None:
    if not file.grid.crs:
        return None
    height, width = file.grid.window.shape
    corners = file.grid.to_crs(np.array([[0.0, 0.0], [width, 0.0], [0.0, height], [width, height]]))
    with gdal_env():
        crs = crs_of(file.grid.crs)
        sides = transform_bounds(crs, "EPSG:4326", *corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())
    return tuple(round(side, 6) for side in sides)


def _around(coordinates: Any) -> tuple[float, ...] | None:
    points = np.array(list(_points(coordinates)), np.float64)
    return None if not len(points) else (*points.min(axis=0).tolist(), *points.max(axis=0).tolist())


def _points(coordinates: Any) -> Iterable[tuple[float, float]]:
    if isinstance(coordinates, list) and coordinates and isinstance(coordinates[0], int | float):
        yield float(coordinates[0]), float(coordinates[1])
    elif isinstance(coordinates, list):
        for part in coordinates:
            yield from _points(part)
