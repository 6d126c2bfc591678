"""What decides the bytes of a scene's results: equal fingerprints mean equal results, wherever they are computed."""

import hashlib
import json
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
from geoseg.reuse.levels import LINES, POLYGON_ALGORITHM
from geoseg.store.manifest import MODEL_NAME, MODEL_PARTS, MODIFIED, Fingerprint, digest

ALGORITHM = 5
"""Incremented when a change of geoseg changes a pixel of its rasters."""
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
        **describe_polygons(polygons),
        **_chosen(settings),
    }


def describe_polygons(polygons: PolygonPlan) -> dict[str, Any]:
    """The part of a fingerprint that describes how polygons are made of pixels."""
    return {
        POLYGON_ALGORITHM: LINES,
        "polygons.crs": polygons.crs,
        "polygons.simplify_px": polygons.simplify_px,
        "polygons.min_area_px": max(1, polygons.min_area_px),
        "polygons.classes": None if polygons.classes is None else list(polygons.classes),
        "polygons.not_dissolved": list(polygons.not_dissolved),
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


def layout_name(block_px: int, hardware: Hardware, *, reused: bool = False) -> str:
    """Folder of the records of one block size, one record format, one set of packages and one kind of device.

    These are not part of the fingerprint: after an upgrade finished scenes stay valid, but a scene that was begun with
    one version, or on one kind of CPU, is not completed with another. Nor do blocks with ``reused`` pixels belong to
    those of which the model gives the pixels: their records hold none.
    """
    kind = {"reused": True} if reused else {}
    return f"{block_px}px-{digest({'records': RECORDS, **software(), **asdict(hardware), **kind})[:8]}"


def layout_block_px(layout: str, hardware: Hardware, *, reused: bool = False) -> int | None:
    """Block size of a layout; None if other packages, other hardware or another kind of run made it."""
    block_px = layout.partition("px-")[0]
    known = block_px.isdecimal() and layout == layout_name(int(block_px), hardware, reused=reused)
    return int(block_px) if known else None


def _model_parts(bundle: Bundle) -> dict[str, str]:
    """Short digests of the weights and of each key of ``model.json``; they show how two models differ."""
    described = bundle.file.model_dump(mode="json", by_alias=True)
    parts = {key: json.dumps(value, sort_keys=True, default=str) for key, value in described.items()}
    digests = {key: hashlib.sha256(text.encode()).hexdigest()[:8] for key, text in parts.items() if key != "mlm:name"}
    return {**digests, "weights": bundle.weights_sha256[:8]}
