"""What decides the bytes of a scene's results: equal fingerprints mean equal results, wherever they are computed."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from geoseg.config import Settings
from geoseg.grid.window import Grid
from geoseg.model.bundle.bundle import Bundle
from geoseg.model.hardware import Hardware
from geoseg.model.inference import Inference
from geoseg.plan.polygon_plan import PolygonPlan
from geoseg.plan.software import software
from geoseg.raster.bands import BandSelection
from geoseg.raster.source.cells import CELL_PX
from geoseg.raster.source.scene import Scene
from geoseg.raster.source.version import Version, describe_change
from geoseg.store.manifest import EXPLAINING, MODEL_NAME, MODEL_PARTS, MODIFIED, Fingerprint, digest

MOST_FILES = 3
"""Number of changed files that a message names."""

ALGORITHM = 5
"""Incremented when a change of geoseg changes a byte of its results."""
RECORDS = 3
"""Incremented when the records of unfinished work change their format, see `geoseg.store.scene_store`."""

WITHOUT_EFFECT = frozenset(
    {
        *("assume_crs", "allow_ungeoreferenced", "strict_bands", "max_nonfinite_share", "force_layout"),
        *("remote", "allow_private_hosts", "nodata", "allow_empty", "resampling", "resolution_m"),
        *("aoi", "aoi_crs", "quality", "collar"),
    }
)
"""Settings that only decide whether a scene is accepted, or whose effect is part of the scene's description."""


def describe_scene(scene: Scene) -> dict[str, Any]:
    """The part of a fingerprint that describes a scene: its files and how their pixels are interpreted."""
    cells = {"scene.cells_px": CELL_PX} if scene.in_cells else {}
    return {
        **cells,
        **_describe_composite(scene),
        "scene.files": [[version.name, version.size, version.content] for version in scene.versions],
        MODIFIED: [version.modified for version in scene.versions],
        "scene.size": [scene.grid.height, scene.grid.width],
        "scene.transform": list(scene.grid.transform),
        "scene.crs": scene.grid.crs,
        "scene.dtypes": list(scene.dtypes),
        "scene.nodata": [None if value is None else repr(value) for value in scene.nodata],
    }


def _describe_composite(scene: Scene) -> dict[str, Any]:
    """How a scene is made of its sources; nothing for a scene of one file."""
    composite = scene.composite
    if composite is None:
        return {}
    parts = [
        [part.grid.transform, part.bands, part.gives, part.nodata, part.scaling, part.shift]
        for source in composite.sources
        for part in source.parts
    ]
    # Where every source is on the scene's own grid, none is resampled.
    resampled = {"scene.resampling": composite.resampling} if scene.in_cells else {}
    more = {} if composite.dates is None else {"dates": composite.dates.tolist()}
    wanted = composite.settings.quality
    if wanted is not None and wanted.asset is not None:
        clouds = [[part.grid.transform, part.bands, part.nodata] for one in composite.sources for part in one.quality]
        more |= {"quality": clouds}
    places = digest({"windows": composite.windows.tolist(), "parts": parts, **more})
    time = {} if scene.time is None else {"scene.time": scene.time.isoformat()}
    rule = {"scene.quality": wanted.model_dump(mode="json", exclude={"file"})} if wanted and wanted.asset else {}
    return {**resampled, **time, **rule, "scene.sources": places, "scene.pick": composite.pick}


def scene_grid(facts: Fingerprint) -> Grid:
    """The grid of a scene, from its fingerprint."""
    height, width = facts["scene.size"]
    return Grid(height, width, tuple(facts["scene.transform"]), facts["scene.crs"])


def take_fingerprint(
    settings: Settings,
    bundle: Bundle,
    scene: Scene,
    selection: BandSelection,
    polygons: PolygonPlan,
    inference: Inference,
    *,
    overlap_px: int,
) -> dict[str, Any]:
    """All that can change a byte of a scene's results; without workers, blocks, addresses and paths.

    Args:
        settings: Those of the run.
        bundle: The model.
        scene: The scene.
        selection: Its bands.
        polygons: What is published of it.
        inference: How the forward pass runs.
        overlap_px: Pixels that neighbouring patches share on an axis.
    """
    chosen = {key: value for key, value in settings.scene.model_dump(mode="json").items() if key not in WITHOUT_EFFECT}
    return {
        **{f"scene.{key}": value for key, value in chosen.items()},
        **describe_scene(scene),
        "algorithm": ALGORITHM,
        "model.sha256": bundle.sha256,
        MODEL_NAME: bundle.name,
        MODEL_PARTS: _model_parts(bundle),
        "scene.bands": list(selection.bands),
        "scene.mask_band": selection.mask_band,
        **_validity(selection),
        "tiling.patch_px": inference.patch_px,
        "tiling.overlap_px": overlap_px,
        "run.device": inference.device,
        "run.precision": inference.precision,
        "run.threads": inference.threads,
        "run.batch_size": settings.run.batch_size,
        "run.on_nonfinite": inference.on_nonfinite,
        "polygons.crs": polygons.crs,
        "polygons.simplify_px": polygons.simplify_px,
        "polygons.min_area_px": max(1, polygons.min_area_px),
        "polygons.classes": None if polygons.classes is None else list(polygons.classes),
        "polygons.not_dissolved": list(polygons.not_dissolved),
        **_chosen(settings),
    }


def _validity(selection: BandSelection) -> dict[str, Any]:
    """What makes pixels valid beyond the file; empty unless it is set, as `_chosen`."""
    area, quality = selection.area, selection.quality
    facts: dict[str, Any] = {} if area is None else {"scene.aoi": f"{area.pixels} pixels, sha256 {area.digest}"}
    if quality is not None:
        rule = {"invalid": sorted(quality.invalid), "bits": sorted(quality.bits), "grow_px": quality.grow_px}
        facts["scene.quality"] = {"band": quality.band, **rule}
    if selection.collar is not None:
        collar = selection.collar
        facts["scene.collar"] = f"{collar.pixels} pixels of {collar.value:g}{', noisy' * collar.noisy}, {collar.digest}"
    return facts


def _chosen(settings: Settings) -> dict[str, Any]:
    """Options that are not at their default; those that are leave a fingerprint as it was before they existed."""
    sections = {"inference": settings.inference, "rasters": settings.rasters}
    chosen = {
        f"{name}.{key}": value
        for name, section in sections.items()
        for key, value in section.model_dump(mode="json", exclude_defaults=True).items()
    }
    idle = [key for key in chosen if key.startswith("inference.crf_") and settings.inference.crf == "none"]
    idle += [] if settings.inference.thresholds else ["inference.unsure_class"]
    return {key: value for key, value in chosen.items() if key not in idle}


def versions_of(facts: Fingerprint) -> list[Version]:
    """Versions of a scene's files, from its fingerprint; none if an earlier version of geoseg made it."""
    files = zip(facts["scene.files"], facts[MODIFIED], strict=True) if MODIFIED in facts else ()
    return [Version(name, size, content, modified) for (name, size, content), modified in files]


def layout_name(block_px: int, hardware: Hardware) -> str:
    """Folder of the records of one block size, one record format, one set of packages and one kind of device.

    These are not part of the fingerprint: after an upgrade finished scenes stay valid, but a scene that was begun with
    one version, or on one kind of CPU, is not completed with another.
    """
    return f"{block_px}px-{digest({'records': RECORDS, **software(), **asdict(hardware)})[:8]}"


def layout_block_px(layout: str, hardware: Hardware) -> int | None:
    """Block size of a layout; None if other packages or other hardware made it."""
    block_px = layout.partition("px-")[0]
    return int(block_px) if block_px.isdecimal() and layout == layout_name(int(block_px), hardware) else None


def explain_changes(before: Fingerprint, now: Fingerprint) -> str:
    """Describe how two fingerprints differ: files with size and time, models by name, other keys with values."""
    keys = [key for key in sorted({*before, *now} - EXPLAINING) if before.get(key) != now.get(key)]
    changes = {key: f"{key} was {_short(before.get(key))}, now {_short(now.get(key))}" for key in keys}
    if "scene.files" in changes and (files := _explain_files(versions_of(before), versions_of(now))):
        changes["scene.files"] = files
    if "model.sha256" in changes and before.get(MODEL_NAME):
        changes["model.sha256"] = _explain_model(before, now)
    return "; ".join(changes.values())


def _explain_files(before: Sequence[Version], now: Sequence[Version]) -> str:
    if [version.name for version in before] != [version.name for version in now]:
        names = [", ".join(version.name for version in versions) for versions in (before, now)]
        return f"its files were {_shortened(names[0])}, now {_shortened(names[1])}" if before else ""
    changed = [
        f"{new.name} has changed since ({describe_change(old, new)})"
        for old, new in zip(before, now, strict=True)
        if (old.size, old.content) != (new.size, new.content)
    ]
    more = f" and {len(changed) - MOST_FILES} more files" if len(changed) > MOST_FILES else ""
    return "; ".join(changed[:MOST_FILES]) + more


def _explain_model(before: Fingerprint, now: Fingerprint) -> str:
    old, new = before[MODEL_NAME], now[MODEL_NAME]
    parts, others = before.get(MODEL_PARTS, {}), now.get(MODEL_PARTS, {})
    differ = [part for part in sorted({*parts, *others}) if parts.get(part) != others.get(part)]
    names = f"the model was {old}, now {new}" if old != new else f"the model {old} is another one of this name"
    return f"{names}; what differs: {', '.join(differ) or 'model.json'}"


def _model_parts(bundle: Bundle) -> dict[str, str]:
    """Short digests of the weights and of each key of ``model.json``; they show how two models differ."""
    described = bundle.file.model_dump(mode="json", by_alias=True)
    parts = {key: json.dumps(value, sort_keys=True, default=str) for key, value in described.items()}
    digests = {key: hashlib.sha256(text.encode()).hexdigest()[:8] for key, text in parts.items() if key != "mlm:name"}
    return {**digests, "weights": bundle.weights_sha256[:8]}


def _short(value: Any) -> str:
    return _shortened(json.dumps(value, ensure_ascii=False))


def _shortened(text: str) -> str:
    return text if len(text) <= 120 else f"{text[:100]}..."
