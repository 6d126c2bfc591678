"""Checks of scenes, model and settings together, before any work."""

import math
import os
from collections.abc import Sequence

from pyproj import CRS

from geoseg.catalog.entry import Entry
from geoseg.config import Settings
from geoseg.errors import SceneError
from geoseg.model.bundle.bundle import Bundle
from geoseg.model.bundle.value_checks import check_values
from geoseg.publish.geodesy.crs import NATIVE, missing_grids
from geoseg.publish.geodesy.longitude import western_longitude
from geoseg.publish.geodesy.pixel_area import pixel_area
from geoseg.publish.polygon_table import published_crs
from geoseg.raster.band_names import check_band_names
from geoseg.raster.bands import BandSelection, describe_warnings
from geoseg.raster.read_sources import some_files
from geoseg.raster.rim.collar_warnings import collar_warnings
from geoseg.raster.sample import sample_warnings, take_sample, without_nodata
from geoseg.raster.source.layout import check_layout
from geoseg.raster.source.scene import Scene

MAX_PIXEL_RATIO = 2.0
"""Beyond this ratio of pixel sizes the model sees other textures than in training; below it most models still work."""

SOURCES_SAMPLED = 4
"""Sources of a mosaic that are looked at: opening all would take longer than a small run."""


def drop_repeated(entries: Sequence[Entry]) -> tuple[tuple[Entry, ...], list[str]]:
    """Remove files that are listed twice, also under another name such as a link.

    Returns:
        The remaining entries in their order, and a warning for each removed one.
    """
    first: dict[object, Entry] = {}
    warnings = []
    for path in entries:
        if not isinstance(path, str):
            first[id(path)] = path
            continue
        try:
            status = os.stat(path)  # noqa: PTH116  (pathlib would change GDAL's virtual paths)
            key: object = (status.st_dev, status.st_ino)
        except (OSError, ValueError):
            key = path
        if key not in first:
            first[key] = path
        else:
            same = f" and is the same file as {first[key]}" if first[key] != path else ""
            warnings.append(f"{path} is given twice{same}; it is segmented once.")
    return tuple(first.values()), warnings


def check_scene(scene: Scene, selection: BandSelection, settings: Settings, bundle: Bundle) -> list[str]:
    """Check one scene: its bands, layout, values and location.

    Returns:
        Warnings, as sentences.

    Raises:
        SceneError: If the scene cannot be processed as the settings require.
    """
    wanted = settings.scene
    warnings = describe_warnings(scene, selection) + check_layout(scene, force=wanted.force_layout)
    warnings += check_band_names(scene, selection.bands, bundle.bands, bundle.name, strict=wanted.strict_bands)
    warnings += _collar_warnings(scene, selection)
    sample = take_sample(scene, selection)
    warnings += sample_warnings(scene, selection, sample, wanted.max_nonfinite_share)
    known = without_nodata(scene, selection, sample)
    warnings += [f"{scene.path}: {text}" for text in check_values(known, bundle.bands, bundle.file.scaling)]
    if scene.grid.crs:
        try:
            warnings += _place_warnings(scene, bundle, settings.polygons.crs)
        except SceneError as error:
            raise SceneError(f"{scene.path}: {error}") from error
    return warnings


def _collar_warnings(scene: Scene, selection: BandSelection) -> list[str]:
    """Of the scene, or of some of its sources: each has a rim of its own."""
    if scene.composite is None:
        return collar_warnings(scene, selection, selection.bounds(scene))
    files = some_files(scene.composite, selection, SOURCES_SAMPLED)
    return [warning for file, bands in files for warning in collar_warnings(file, bands)]


def lost_masks(scenes: Sequence[Scene]) -> list[str]:
    """Warn of scenes without mask and nodata value if others of the run have a mask file: theirs may be lost."""
    masked = [scene for scene in scenes if any(file.endswith(".msk") for file in scene.files)]
    without_mask = [
        scene
        for scene in scenes
        if not scene.has_mask and scene.alpha_band is None and all(value is None for value in scene.nodata)
    ]
    if not masked:
        return []
    return [
        f"{scene.path}: it has no mask and no nodata value, while {masked[0].path} comes with a .msk file. If its own "
        "was lost on the way, copy it beside the scene; otherwise every pixel counts as valid."
        for scene in without_mask
    ]


def _place_warnings(scene: Scene, bundle: Bundle, crs: str) -> list[str]:
    """Check pixel size, antimeridian and transformation to the CRS of the polygons."""
    warnings, native = [], CRS.from_wkt(scene.grid.crs)
    trained_m = bundle.file.pixel_m
    pixel_m = math.sqrt(pixel_area(scene.grid).mean_m2)
    if trained_m is not None and not 1 / MAX_PIXEL_RATIO <= pixel_m / trained_m <= MAX_PIXEL_RATIO:
        warnings.append(
            f"pixels of {pixel_m:.3g} m, while {bundle.name} was trained on {trained_m:g} m. Resample it first: "
            f"gdalwarp -tr {trained_m:g} {trained_m:g} -r average IN OUT (in a CRS in metres)."
        )
    if crs != NATIVE:
        target = published_crs(scene.grid, crs)
        if western_longitude(scene.grid, target) is not None:
            warnings.append(f"it crosses the antimeridian: longitudes in {crs} go on beyond 180 degrees.")
        if grids := missing_grids(native, CRS.from_wkt(target)):
            warnings.append(
                f"the best way to {crs} needs {', '.join(grids)}, which PROJ does not have here: polygons may lie some "
                "metres off. Install the grids (projsync), or use polygons.crs=native."
            )
    return [f"{scene.path}: {text}" for text in warnings]
