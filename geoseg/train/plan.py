"""All that the workers of a training share, found before the first step."""

import hashlib
import json
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape

from geoseg.model.bundle.scaling import Step, ZScore
from geoseg.publish.geodesy.pixel_area import pixel_area
from geoseg.raster.source.scene import Scene
from geoseg.train.data.ground import TRAINING, VALIDATION
from geoseg.train.data.labelled import LabelledScene
from geoseg.train.data.sites import Sites, find_sites
from geoseg.train.data.statistics import band_statistics
from geoseg.train.data.survey import band_names, find_labelled
from geoseg.train.data.windows import BatchReader, Place, WindowSource
from geoseg.train_settings import TrainSettings

STATISTICS_WINDOWS = 400
"""Windows from which the statistics of the bands are computed."""


@dataclass(frozen=True)
class TrainPlan:
    """Scenes, labels, split and statistics. Holds no open file, so it may travel to workers."""

    settings: TrainSettings
    scenes: tuple[LabelledScene, ...]
    sites: Sites
    bands: tuple[str, ...]
    """Names of the bands."""
    mean: tuple[float, ...]
    """Mean of each band over training windows."""
    deviation: tuple[float, ...]
    """Standard deviation of each band."""
    digest: str
    """Changes with everything that decides the weights."""

    @property
    def scaling(self) -> tuple[Step, ...]:
        """The scaling of the bundle."""
        return (ZScore(type="z-score", mean=list(self.mean), stddev=list(self.deviation)),)

    def windows(self, split: int) -> WindowSource:
        """The windows of a split."""
        return WindowSource(self.scenes, self.sites, self.settings.data, split, self.settings.run.seed)

    def validation_places(self) -> list[Place]:
        """The windows of a validation."""
        return self.windows(VALIDATION).whole_list(self.settings.data.max_validation_windows)


def make_train_plan(settings: TrainSettings, console: Console) -> TrainPlan:
    """Find scenes and labels, split the ground, and compute the statistics of the bands.

    Raises:
        SettingsError: If nothing can be trained with these settings.
        SceneError: If a file cannot be read.
    """
    scenes, warnings = find_labelled(settings)
    for warning in warnings:
        console.print(f"[yellow]warning:[/yellow] {escape(warning)}")
    sites = find_sites(scenes, settings)
    source = WindowSource(scenes, sites, settings.data, TRAINING, settings.run.seed)
    places = source.whole_list(STATISTICS_WINDOWS)
    reader = BatchReader(source, settings.run.readers, min(8, len(places)))
    try:
        mean, deviation = band_statistics(reader.listed(places))
    finally:
        reader.close()
    bands = band_names(settings, scenes[0].scene, scenes[0].selection)
    return TrainPlan(settings, scenes, sites, bands, tuple(mean), tuple(deviation), _digest(settings, scenes, mean))


def pixel_size_m(settings: TrainSettings, scene: Scene) -> float | None:
    """Side of a pixel in metres: as given, else that of a scene with a CRS."""
    if settings.pixel_m is not None or not scene.grid.crs:
        return settings.pixel_m
    return float(f"{pixel_area(scene.grid).mean_m2 ** 0.5:.4g}")


def _digest(settings: TrainSettings, scenes: tuple[LabelledScene, ...], mean: list[float]) -> str:
    """Digest of what decides the weights. Workers, readers and the output do not."""
    decides = settings.model_dump(mode="json", exclude={"output", "overwrite", "license", "name", "pixel_m"})
    for key in ("workers", "readers", "address", "device", "threads"):
        del decides["run"][key]
    files = [[one.scene.path, *map(str, one.rasters), str(one.scene.versions)] for one in scenes]
    return hashlib.sha256(json.dumps([decides, files, mean], sort_keys=True).encode()).hexdigest()
