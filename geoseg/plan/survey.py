"""Inspect every scene before a cluster is started."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from geoseg.area.place import describe_outside, place_area
from geoseg.area.read import read_area
from geoseg.catalog.entry import describe_entry, entry_name, expand_entries
from geoseg.catalog.mosaic import describe_mosaic, mosaic_name
from geoseg.config import Settings
from geoseg.errors import SceneError, SettingsError
from geoseg.model.bundle.bundle import Bundle
from geoseg.model.bundle.value_checks import warn_unscaled
from geoseg.plan.fingerprint import scene_grid
from geoseg.plan.preflight import check_scene, drop_repeated, lost_masks
from geoseg.publish.geodesy.crs import NATIVE, find_crs_conflicts
from geoseg.publish.geodesy.overlaps import Footprint, overlap_warnings
from geoseg.raster.bands import BandSelection, merge_alpha_warnings, select_bands
from geoseg.raster.quality_assets import check_quality_assets
from geoseg.raster.rim.find_collar import find_collar
from geoseg.raster.source.scene import Scene
from geoseg.raster.validity.quality_file import find_quality, with_files
from geoseg.redact import redact
from geoseg.store.manifest import Manifest, polygons_prefix, published_scenes, rasters_prefix
from geoseg.store.storages.opening import open_storage


@dataclass(frozen=True, slots=True)
class Survey:
    """Scenes, bands and warnings of a run before it is planned."""

    settings: Settings
    bundle: Bundle
    scenes: tuple[tuple[Scene, BandSelection], ...]
    failed: tuple[tuple[str, str], ...]
    skipped: tuple[tuple[str, str], ...]
    """Scenes outside the area of interest: path and scene id."""
    warnings: tuple[str, ...]
    order: tuple[str, ...]
    """Paths of all scenes, by which ``scenes`` and ``failed`` name them, in the order in which they were given."""


def survey(settings: Settings, bundle: Bundle) -> Survey:
    """Inspect every scene; those that cannot be processed go to ``failed`` with the reason.

    Raises:
        SettingsError: If two scenes would be published under one name, or the area of interest cannot be read or is
            outside all scenes.
    """
    accepted, failed, outside, order = [], [], [], []
    expanded, unexpanded = expand_entries(settings.scenes, settings.scene)
    failed += [(name, str(error)) for name, error in unexpanded]
    order += [name for name, _ in unexpanded]
    entries, warnings = drop_repeated(expanded)
    aoi = None if settings.scene.aoi is None else read_area(settings.scene.aoi, settings.scene.aoi_crs)
    warnings += [] if aoi is None else aoi.warnings
    warnings += warn_unscaled(bundle.name, bundle.file.scaling)
    described = [
        *((entry_name(entry), partial(describe_entry, entry, settings.scene, bundle.bands)) for entry in entries),
        *((mosaic_name(one), partial(describe_mosaic, one, settings.scene, bundle.bands)) for one in settings.mosaics),
    ]
    for path, describe_scene in described:
        try:
            scene = describe_scene()
            area = None if aoi is None else place_area(aoi, scene)
            if area is not None and not area.pixels:
                outside.append(scene)
                order.append(scene.path)
                continue
            selection = select_bands(scene, len(bundle.bands), settings.scene, bundle.bands)
            if area is not None and area.pixels < scene.grid.window.pixels:
                selection = replace(selection, area=area)
            if settings.scene.quality is not None and settings.scene.quality.asset is not None:
                warnings += check_quality_assets(scene, settings.scene.quality)
            elif settings.scene.quality is not None:
                quality, texts = find_quality(scene, settings.scene, selection.bounds(scene))
                scene, selection = with_files(scene, quality.source), replace(selection, quality=quality)
                warnings += texts
            if settings.scene.collar == "auto":
                collar, texts = find_collar(scene, selection)
                selection = replace(selection, collar=collar)
                warnings += texts
            warnings += [f"{scene.path}: {note}" for note in scene.composite.notes] if scene.composite else []
            warnings += check_scene(scene, selection, settings, bundle)
        except (SceneError, OSError) as error:
            failed.append((path, _why(path, error)))
            order.append(path)
            continue
        accepted.append((scene, selection))
        order.append(scene.path)
    if aoi is not None and outside and not (accepted or failed):
        raise SettingsError(describe_outside(aoi, outside))
    warnings += [f"{scene.path} lies outside the area of interest and is skipped." for scene in outside]
    scenes = [scene for scene, _ in accepted]
    warnings = merge_alpha_warnings(warnings) + lost_masks(scenes)
    _check_names(scenes)
    return Survey(
        settings,
        bundle,
        tuple(accepted),
        tuple(failed),
        tuple((scene.path, scene.scene_id) for scene in outside),
        tuple(map(redact, warnings)),
        tuple(order),
    )


def _why(path: str, error: SceneError | OSError) -> str:
    if isinstance(error, SceneError):  # of a mosaic it may name an item or a search only
        return str(error) if path in str(error) or not path.startswith("mosaic ") else f"{path}: {error}"
    file = "" if error.filename is None else f"{error.filename} cannot be read: "
    return redact(f"{path}: {file}{error.strerror or error}. Check the file and the rights to it.")


def check_output(survey: Survey) -> Survey:
    """Compare the scenes with those in the output. Call it with the lock of the output held.

    Scenes whose polygons would have another CRS than those of the output go to ``failed``. Overlaps become warnings.

    Raises:
        SettingsError: If the run would replace one of its inputs, or the output cannot take polygons of these settings.
    """
    settings, scenes = survey.settings, [scene for scene, _ in survey.scenes]
    _check_inputs(settings.output, scenes)
    published = published_scenes(open_storage(settings.output), {scene.scene_id for scene in scenes})
    crss = {scene_id: manifest.results["crs"] for scene_id, manifest in published.items() if "crs" in manifest.results}
    odd = find_crs_conflicts(crss, scenes, settings.polygons.crs)
    kept = tuple(entry for entry in survey.scenes if entry[0].path not in odd)
    warnings = overlap_warnings(
        _footprints([scene for scene, _ in kept], published), one_crs=settings.polygons.crs == NATIVE
    )
    return replace(survey, scenes=kept, failed=(*survey.failed, *odd.items()), warnings=(*survey.warnings, *warnings))


def _footprints(scenes: Sequence[Scene], published: Mapping[str, Manifest]) -> list[Footprint]:
    new = [Footprint(scene.path, scene.grid, new=True) for scene in scenes if scene.grid.crs]
    grids = {scene_id: scene_grid(manifest.fingerprint) for scene_id, manifest in published.items()}
    return new + [Footprint(f"scene {scene_id}", grid, new=False) for scene_id, grid in grids.items() if grid.crs]


def _check_names(scenes: Sequence[Scene]) -> None:
    """Refuse two scenes with the same name, ignoring case: some file systems do."""
    seen: dict[str, Scene] = {}
    for scene in scenes:
        other = seen.setdefault(scene.scene_id.casefold(), scene)
        if other is scene:
            continue
        raise SettingsError(
            f"{other.path} and {scene.path} would both be published as {scene.scene_id!r}. Rename one of them, or "
            "run them into two outputs."
        )


def _check_inputs(output: str, scenes: Sequence[Scene]) -> None:
    """Refuse an output that would replace an input of the run."""
    if "://" in output:
        return
    for scene in scenes:
        prefixes = rasters_prefix(scene.scene_id), polygons_prefix(scene.scene_id)
        # Not Path.resolve, which raises for circular links.
        folders = tuple(f"{os.path.realpath(Path(output) / prefix)}{os.sep}" for prefix in prefixes)
        if any(os.path.realpath(file).startswith(folders) for file in scene.files):
            raise SettingsError(
                f"The output {output} would replace its own input {scene.path}. Give --output another directory."
            )
