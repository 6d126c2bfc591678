"""What is evaluated: the scenes of a results folder, or single class maps."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from geoseg.errors import SceneError, SettingsError
from geoseg.grid.window import Grid
from geoseg.raster.maps.class_map import class_map_grid, class_map_names
from geoseg.store.manifest import polygons_prefix


@dataclass(frozen=True, slots=True)
class Prediction:
    """The class map of one scene and what lies beside it."""

    scene: str
    classes: Path
    confidence: Path | None
    """Confidence 0..255 of each pixel."""
    polygons: Path | None
    """Folder of GeoParquet files."""
    grid: Grid
    legend: tuple[str, ...]
    """Names of the classes 0, 1, 2, ..."""


def find_predictions(paths: Sequence[Path]) -> list[Prediction]:
    """Find class maps, in the given order and by scene name within a results folder.

    Args:
        paths: Output folders of ``geoseg segment``, or class maps it has published.

    Raises:
        SettingsError: If a path holds no class map, or legends differ.
        SceneError: If a class map cannot be read.
    """
    predictions = [prediction for path in paths for prediction in _in_folder(path)]
    if twice := {
        path for path in (one.classes for one in predictions) if [one.classes for one in predictions].count(path) > 1
    }:
        raise SettingsError(f"{min(twice)} is given twice, so its pixels would count twice. Give it once.")
    legends = {prediction.legend: prediction.classes for prediction in predictions}
    if len(legends) > 1:
        (one, first), (other, second) = list(legends.items())[:2]
        raise SettingsError(
            f"{first} has the classes {', '.join(one)}, {second} has {', '.join(other)}. Evaluate results of one model "
            "at a time."
        )
    return predictions


def _in_folder(path: Path) -> list[Prediction]:
    if path.is_dir():
        maps = sorted(path.glob("rasters/*/classes.tif"))
        if not maps:
            raise SettingsError(f"{path} holds no rasters/*/classes.tif. Give the --output folder of a finished run.")
        return [_prediction(file, file.parent.name) for file in maps]
    if not path.exists():
        raise SettingsError(f"{path} does not exist. Give a results folder or a class map.")
    return [_prediction(path, path.parent.name if path.name == "classes.tif" else path.stem)]


def _prediction(classes: Path, scene: str) -> Prediction:
    try:
        output, grid, legend = classes.absolute().parents[2:3], class_map_grid(classes), class_map_names(classes)
    except ValueError as error:
        raise SceneError(f"{classes} has no usable georeference ({error}). Publish the scene again.") from error
    if not grid.crs:
        raise SceneError(f"{classes} has no CRS, so labels have no place on it. Publish the scene again.")
    if classes.name != "classes.tif" or not output:
        return Prediction(scene, classes, None, None, grid, legend)
    beside = classes.with_name("confidence.tif"), output[0] / polygons_prefix(scene)
    confidence, polygons = (path if path.exists() else None for path in beside)
    return Prediction(scene, classes, confidence, polygons, grid, legend)
