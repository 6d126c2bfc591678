"""`geoseg labels sample`: the windows of a finished run that are worth labelling next."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import geopandas
import numpy as np
import shapely

from geoseg.area.polygon_parts import polygon_parts
from geoseg.errors import SettingsError
from geoseg.evaluate.label_polygons import outline_of
from geoseg.gis_export.results import Results, find_results
from geoseg.labels.choose import Chosen, choose_windows
from geoseg.labels.label_file import (
    CLASS,
    DONE,
    PIXEL,
    WINDOW,
    check_output,
    concatenate,
    read_label_file,
    write_label_file,
)
from geoseg.labels.uncertainty import Measure, SceneWindows, measure_windows
from geoseg.publish.geoparquet import read_polygons
from geoseg.store.manifest import rasters_prefix


@dataclass(frozen=True, slots=True)
class Sampling:
    """What to propose."""

    count: int = 50
    """Number of windows."""
    window_px: int = 256
    """Side of a window in pixels."""
    measure: Measure = Measure.CONFIDENCE
    """What tells how unsure the model was."""
    scenes: tuple[str, ...] = ()
    """Ids of scenes; none for all."""
    labelled: tuple[Path, ...] = ()
    """Label files of earlier rounds, whose windows are not proposed again."""
    seed: int = 0
    """Of `Measure.RANDOM`."""
    overwrite: bool = False
    """Replace the output."""


class Sampled(NamedTuple):
    """What was proposed."""

    windows: int
    polygons: int
    classes: dict[str, int]
    """Windows by the class that the model was most unsure of in them."""


def sample_labels(results: Path, output: Path, options: Sampling = Sampling()) -> Sampled:
    """Propose windows to label, and write them with the predicted polygons in them, to be corrected.

    Args:
        results: Output folder of runs.
        output: GeoPackage to write, in the CRS of the polygons.
        options: What to propose.

    Returns:
        Counts; fewer windows than asked for if there are no more.

    Raises:
        SettingsError: If the results or a label file cannot be used, no window is left, or the output exists.
        SceneError: If a raster cannot be read.
        OSError: If the output cannot be written.
    """
    check_output(output, overwrite=options.overwrite)
    if not results.is_dir():
        raise SettingsError(f"{results} is not a folder. Give the --output folder of a finished run.")
    with TemporaryDirectory() as folder:
        found = find_results(str(results), options.scenes, Path(folder))
    random = np.random.default_rng(options.seed)
    scenes = [
        measure_windows(results / rasters_prefix(scene), scene, options.measure, options.window_px, random)
        for scene in found.scenes
    ]
    balanced = options.measure is not Measure.RANDOM
    chosen = choose_windows(scenes, options.count, _labelled(options.labelled), balanced=balanced)
    if not chosen:
        raise SettingsError(
            f"{results} has no window of {options.window_px} px left of which half is valid. Set --window-px lower, or "
            "run more scenes."
        )
    windows = _frame_of_windows(found, scenes, chosen)
    labels = _labels_in(results, windows)
    # Only ground with a class needs a label: a window ends where the scene or its valid pixels end.
    windows.geometry = [shapely.union_all(labels.geometry.values[labels[WINDOW] == key]) for key in windows[WINDOW]]
    write_label_file(output, labels, windows, found.legend, overwrite=options.overwrite)
    counts = Counter(windows["main_class"])
    return Sampled(len(windows), len(labels), dict(counts.most_common()))


def _labelled(files: Sequence[Path]) -> frozenset[str]:
    keys = set[str]()
    for file in files:
        windows = read_label_file(file).windows
        if windows is None:
            raise SettingsError(f"{file} has no layer windows, so it does not tell what is labelled. Leave it out.")
        keys |= set(windows[WINDOW])
    return frozenset(keys)


def _frame_of_windows(
    results: Results, scenes: Sequence[SceneWindows], chosen: Sequence[Chosen]
) -> geopandas.GeoDataFrame:
    crs = results.common_crs
    frames = []
    for index, scene in enumerate(scenes):
        numbers = [one.number for one in chosen if one.scene == index]
        outlines = [outline_of(scene.grid, scene.window(number)) for number in numbers]
        geometry = geopandas.GeoSeries(outlines, crs=scene.grid.crs).to_crs(crs)
        columns = {
            WINDOW: [scene.key(number) for number in numbers],
            "scene": scene.scene,
            "score": [round(float(scene.scores[number]), 4) for number in numbers],
            "main_class": [scene.main_classes[number] for number in numbers],
            DONE: False,
            PIXEL: [
                math.sqrt(one.area / scene.window(number).pixels) for one, number in zip(geometry, numbers, strict=True)
            ],
        }
        frames.append(geopandas.GeoDataFrame(columns, geometry=geometry, crs=crs))
    joined = concatenate(frames, crs)
    order = {scenes[one.scene].key(one.number): place for place, one in enumerate(chosen)}
    return joined.sort_values(WINDOW, key=lambda keys: keys.map(order), ignore_index=True)


def _labels_in(results: Path, windows: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    """The published polygons of each window's scene, cut at its outline."""
    keys, names, pieces = list[str](), list[str](), list[shapely.Polygon]()
    for key, scene, outline in zip(windows[WINDOW], windows["scene"], windows.geometry, strict=True):
        near = read_polygons(results, columns=[CLASS, "scene"], bbox=outline.bounds)
        near = near[near["scene"] == scene]
        parts, index = polygon_parts(shapely.intersection(near.geometry.values, outline))
        pieces += list(parts)
        names += list(near[CLASS].to_numpy()[index])
        keys += [key] * len(parts)
    return geopandas.GeoDataFrame({WINDOW: keys, CLASS: names}, geometry=pieces, crs=windows.crs)
