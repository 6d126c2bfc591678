"""Find the scenes and labels of a training, and which labels lie on which scene."""

import glob
from collections.abc import Sequence
from pathlib import Path

import geopandas
import numpy as np
import shapely
from pyproj import CRS
from rasterio.errors import RasterioIOError

from geoseg.errors import SceneError, SettingsError
from geoseg.evaluate.class_mapping import ClassMapping
from geoseg.evaluate.evaluate import RASTERS
from geoseg.evaluate.label_polygons import outline_of, read_label_polygons
from geoseg.grid.window import Grid
from geoseg.raster.band_names import name_of
from geoseg.raster.bands import BandSelection, select_bands
from geoseg.raster.source.env import open_raster
from geoseg.raster.source.scene import Scene, describe
from geoseg.train.data.labelled import LabelledScene, match_polygons
from geoseg.train_settings import TrainSettings

MAX_NAMED = 5


def find_labelled(settings: TrainSettings) -> tuple[tuple[LabelledScene, ...], tuple[str, ...]]:
    """Describe all scenes of a training and the labels of each.

    Returns:
        The scenes that have labels, and warnings.

    Raises:
        SettingsError: If a pattern finds nothing, scenes have other bands than the first, or no scene has a label.
        SceneError: If a file cannot be read.
    """
    paths = find_files(settings.scenes, "scenes")
    mapping = class_mapping(settings)
    scenes: list[tuple[Scene, BandSelection]] = []
    for path in paths:
        scene = describe(path, settings.scene)
        selection = select_bands(scene, _band_count(settings, scene, scenes), settings.scene, settings.bands)
        scenes.append((scene, selection))
        _check_same(scenes[0], scenes[-1])
    files = [Path(path) for path in find_files(settings.labels, "labels")]
    rasters = [path for path in files if path.suffix.lower() in RASTERS]
    polygons = [read_label_polygons(path, settings.class_column) for path in files if path not in rasters]
    matched = _match_rasters([scene for scene, _ in scenes], rasters)
    labelled = [
        LabelledScene(number, scene, selection, mapping, own, match_polygons(scene, polygons, mapping))
        for number, ((scene, selection), own) in enumerate(zip(scenes, matched, strict=True), 1)
    ]
    kept = tuple(one for one in labelled if one.rasters or any(len(each.polygons.ids) for each in one.placed))
    if not kept:
        raise SettingsError(
            f"No label of {_named([str(path) for path in files])} lies on a scene such as {paths[0]}. Check that they "
            "show the same place, and their CRS."
        )
    without = [one.scene.path for one in labelled if one not in kept]
    warnings = (f"{_named(without)}: no label lies there, so it is not used.",) if without else ()
    return kept, warnings


def find_files(patterns: Sequence[str], key: str) -> list[str]:
    """The files of paths, folders and patterns, each once.

    Raises:
        SettingsError: If one finds nothing.
    """
    found: list[str] = []
    for pattern in patterns:
        folder = Path(pattern)
        if folder.is_dir():
            files = [str(path) for path in sorted(folder.iterdir()) if path.suffix.lower() in RASTERS]
        elif "://" in pattern or folder.is_file():
            files = [pattern]
        else:
            files = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207  (pathlib refuses absolute patterns)
        if not files:
            raise SettingsError(f"{key}: {pattern} finds no file. Give files, folders of rasters, or patterns.")
        found += files
    return list(dict.fromkeys(found))


def class_mapping(settings: TrainSettings) -> ClassMapping:
    """What values of the labels mean.

    Raises:
        SettingsError: If two classes claim one value.
    """
    labels: dict[str, str] = {}
    if any(entry.labels for entry in settings.classes):
        for entry in settings.classes:
            for value in map(str, entry.labels or (entry.name,)):
                if value in labels:
                    raise SettingsError(f"classes: {value} stands for {labels[value]} and for {entry.name}.")
                labels[value] = entry.name
    names = settings.names
    return ClassMapping(names, names, labels, settings.outside, frozenset(map(str, settings.ignore)))


def band_names(settings: TrainSettings, scene: Scene, selection: BandSelection) -> tuple[str, ...]:
    """Names of the bands of the new model: the given ones, else those of the first scene."""
    if settings.bands:
        return settings.bands
    names = [name_of(scene, band) or f"band{band}" for band in selection.bands]
    return tuple(names if len({*names}) == len(names) else (f"band{band}" for band in selection.bands))


def _band_count(settings: TrainSettings, scene: Scene, known: Sequence[tuple[Scene, BandSelection]]) -> int:
    if settings.bands:
        return len(settings.bands)
    if settings.scene.bands != "auto":
        return len(settings.scene.bands)
    return len(known[0][1].bands) if known else scene.bands


def _check_same(first: tuple[Scene, BandSelection], other: tuple[Scene, BandSelection]) -> None:
    kinds = [np.dtype(selection.dtype(scene)) for scene, selection in (first, other)]
    if kinds[0] != kinds[1]:
        raise SettingsError(
            f"{other[0].path} holds {kinds[1]} and {first[0].path} {kinds[0]}. One network has one unit of its input: "
            "convert them to the same first, or train on one kind."
        )


def _match_rasters(scenes: Sequence[Scene], rasters: Sequence[Path]) -> list[tuple[Path, ...]]:
    """The label rasters that may lie on each scene, in their order."""
    grids = {path: _grid_of(path) for path in rasters}
    unplaced = [path for path, grid in grids.items() if grid is None]
    if unplaced and len(unplaced) != len(scenes):
        raise SettingsError(
            f"{len(unplaced)} label rasters have no CRS, such as {unplaced[0]}, and there are {len(scenes)} scenes. "
            "Labels without a CRS are taken in the order of the scenes: give one for each."
        )
    by_crs: dict[str, list[Path]] = {}
    for path, grid in grids.items():
        if grid is not None:
            by_crs.setdefault(grid.crs, []).append(path)
    trees = {
        crs: shapely.STRtree([shapely.box(*_outline(grids[path]).bounds) for path in paths])
        for crs, paths in by_crs.items()
    }
    matched = []
    for place, scene in enumerate(scenes):
        own = {unplaced[place]} if unplaced else set()
        for crs, tree in trees.items():
            if scene.grid.crs:
                outline = geopandas.GeoSeries([outline_of(scene.grid)], crs=scene.grid.crs).to_crs(crs).iloc[0]
                if not outline.is_empty and np.isfinite(outline.bounds).all():
                    own |= {by_crs[crs][index] for index in tree.query(outline)}
        matched.append(tuple(path for path in rasters if path in own))
    return matched


def _outline(grid: Grid | None) -> shapely.Polygon:
    assert grid is not None  # noqa: S101  those without are not asked for
    return outline_of(grid)


def _grid_of(path: Path) -> Grid | None:
    try:
        with open_raster(str(path)) as dataset:
            if dataset.crs is None:
                return None
            transform = tuple(dataset.transform)[:6]
            return Grid(dataset.height, dataset.width, transform, CRS.from_user_input(dataset.crs).to_wkt())
    except RasterioIOError as error:
        raise SceneError(f"{path} cannot be read ({error.__cause__ or error}). Check the file.") from error
    except ValueError as error:
        raise SettingsError(f"{path} has no usable georeference: {error}") from error


def _named(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - MAX_NAMED} more" if len(paths) > MAX_NAMED else ""
    return ", ".join(paths[:MAX_NAMED]) + more
