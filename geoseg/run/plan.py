"""Everything a run decides before it starts: scenes, bands, patches, blocks, bytes."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from geoseg.config import Settings
from geoseg.errors import SceneError, SettingsError
from geoseg.grid.legend import Legend
from geoseg.grid.tiling import Lattice, Tiling
from geoseg.model.bundle import Bundle
from geoseg.model.hardware import Hardware
from geoseg.model.inference import Started, choose_precision
from geoseg.publish.crs import check_one_crs
from geoseg.raster.bands import BandSelection, select_bands
from geoseg.raster.scene import Scene, describe
from geoseg.run.commit import crs_by_scene, polygons_prefix, rasters_prefix
from geoseg.run.fingerprint import Facts, digest, layout_block_px, layout_name, take_fingerprint
from geoseg.run.polygon_plan import PolygonPlan, plan_polygons
from geoseg.run.preflight import check_scene, drop_repeated, lost_masks
from geoseg.run.resume import look_up
from geoseg.run.sizing import (
    BLOCK_PIXELS,
    choose_block_px,
    default_block_bytes,
    largest_block_px,
    project_batch_bytes,
    project_block_bytes,
    require_device_memory,
)
from geoseg.run.storage import open_storage
from geoseg.run.store import WORK, SceneStore


@dataclass(frozen=True, slots=True)
class ScenePlan:
    """What every unit of work on a scene needs to know."""

    scene: Scene
    selection: BandSelection
    """Bands of the scene that feed the model, and its mask."""
    tiling: Tiling
    legend: Legend
    store: SceneStore
    model: str
    """Name of the model, a column of the polygons."""
    observed_at: datetime | None
    polygons: PolygonPlan
    block_bytes: int
    """Bytes of one block in flight, see `project_block_bytes`."""
    fingerprint: Facts
    """All that can change a byte of the results."""
    unit_timeout_s: float
    """Seconds a unit of work on a block may take."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A run that can start."""

    settings: Settings
    bundle: Bundle
    run_id: str
    scenes: tuple[ScenePlan, ...]
    """Scenes with work left."""
    up_to_date: tuple[tuple[str, str, Mapping[str, Any]], ...]
    """Scenes that the output holds already: (path, scene id, results)."""
    failed: tuple[tuple[str, str], ...]
    """Scenes that cannot be processed: (path, message)."""
    warnings: tuple[str, ...]
    stale: tuple[str, ...]
    """Folders of the output with work that nobody will go on with."""

    @property
    def block_count(self) -> int:
        """Blocks of all scenes."""
        return sum(scene.tiling.count for scene in self.scenes)

    @property
    def block_bytes(self) -> int:
        """Bytes of the largest block in flight."""
        return max((scene.block_bytes for scene in self.scenes), default=0)


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found before a cluster is asked for."""

    settings: Settings
    bundle: Bundle
    scenes: tuple[tuple[Scene, BandSelection], ...]
    failed: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]


def survey(settings: Settings, bundle: Bundle) -> Survey:
    """Look at every scene; those that cannot be processed are set aside with the reason.

    Raises:
        SettingsError: If two scenes would be published under one name.
    """
    found, failed = [], []
    paths, warnings = drop_repeated(settings.scenes)
    for path in paths:
        try:
            scene = describe(
                path,
                assume_crs=settings.scene.assume_crs,
                allow_ungeoreferenced=settings.scene.allow_ungeoreferenced,
                expand_palette=settings.scene.expand_palette,
                remote=settings.scene.remote,
                allow_private_hosts=settings.scene.allow_private_hosts,
            )
            selection = select_bands(
                scene,
                len(bundle.bands),
                bands=None if settings.scene.bands == "auto" else settings.scene.bands,
                mask_band=settings.scene.mask_band,
                nodata_rule=settings.scene.nodata_rule,
                apply_scale=settings.scene.apply_scale,
                on_read_error=settings.scene.on_read_error,
                names=bundle.bands,
            )
            warnings += check_scene(scene, selection, settings, bundle)
        except SceneError as error:
            failed.append((path, str(error)))
            continue
        found.append((scene, selection))
    scenes = [scene for scene, _ in found]
    warnings += lost_masks(scenes)
    _check_names(scenes)
    return Survey(settings, bundle, tuple(found), tuple(failed), tuple(warnings))


def check_output(survey: Survey) -> None:
    """Make sure that a run replaces none of its inputs, and that all polygons of the output share a CRS.

    Raises:
        SettingsError: If not.
    """
    settings, scenes = survey.settings, [scene for scene, _ in survey.scenes]
    _check_inputs(settings.output, scenes)
    published = crs_by_scene(open_storage(settings.output), {scene.scene_id for scene in scenes})
    check_one_crs(published, scenes, settings.polygons.crs)


def new_run_id() -> str:
    """Name a run by its start."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def make_plan(survey: Survey, run_id: str, hardware: Hardware, workers: int) -> Plan:
    """Cut the scenes for a kind of device and a number of workers, and see what the output holds of them.

    Raises:
        SettingsError: If patch, overlap and block do not go together or a block does not fit into memory.
    """
    settings = survey.settings
    storage = open_storage(settings.output)
    precision = choose_precision(settings.run.precision, survey.bundle, hardware)
    scenes, up_to_date, failed, warnings = [], [], list(survey.failed), list(survey.warnings)
    stale: list[str] = []
    for scene, selection in survey.scenes:
        polygons = plan_polygons(settings.polygons, survey.bundle.legend, scene)
        patch, overlap = _patch_and_overlap(settings, survey.bundle)
        fingerprint = take_fingerprint(
            settings,
            survey.bundle,
            scene,
            selection,
            polygons,
            patch_px=patch,
            overlap_px=overlap,
            device=hardware.device,
            precision=precision,
        )
        key = digest(fingerprint)
        try:
            found = look_up(storage, scene.scene_id, fingerprint, key, overwrite=settings.overwrite)
        except SceneError as error:
            failed.append((scene.path, str(error)))
            continue
        warnings += found.warnings
        stale += found.stale
        if found.published is not None:
            up_to_date.append((scene.path, scene.scene_id, found.published))
            continue
        tiling = _tile(survey, scene, selection, hardware, workers, storage.folders(f"{WORK}/{scene.scene_id}/{key}"))
        scenes.append(
            ScenePlan(
                scene=scene,
                selection=selection,
                tiling=tiling,
                legend=survey.bundle.legend,
                store=SceneStore(storage.url, scene.scene_id, key, layout_name(tiling.block_px, hardware)),
                model=survey.bundle.name,
                observed_at=settings.scene.observed_at,
                polygons=polygons,
                block_bytes=_block_bytes(tiling.block_px, tiling.lattice, survey.bundle, scene, selection),
                fingerprint=fingerprint,
                unit_timeout_s=settings.run.unit_timeout_s,
            )
        )
    return Plan(
        settings, survey.bundle, run_id, tuple(scenes), tuple(up_to_date), tuple(failed), tuple(warnings), tuple(stale)
    )


def patch_px(settings: Settings, bundle: Bundle) -> int:
    """Side of a patch: the setting, or what the bundle says."""
    return bundle.patch_px if settings.tiling.patch_px == "auto" else settings.tiling.patch_px


def check_device_memory(plan: Plan, hardware: Hardware, started: Started) -> None:
    """Make sure that the blocks of every scene fit on the GPU beside the network, now that its needs are known.

    Raises:
        SettingsError: If not; names the largest block that does.
    """
    classes = len(plan.bundle.legend)
    for scene in plan.scenes:
        lattice = scene.tiling.lattice
        batch = project_batch_bytes(started.batch_size, lattice.rows.patch_px, len(plan.bundle.bands), classes)
        require_device_memory(
            scene.tiling.block_px,
            lattice,
            classes,
            _pixel_bytes(scene.scene, scene.selection),
            rest_bytes=batch + started.network_bytes,
            hardware=hardware,
        )


def _patch_and_overlap(settings: Settings, bundle: Bundle) -> tuple[int, int]:
    patch, multiple = patch_px(settings, bundle), bundle.file.size_multiple
    if patch % multiple:
        below = max(multiple, patch // multiple * multiple)
        raise SettingsError(
            f"tiling.patch_px={patch} is not a multiple of {multiple}, which {bundle.name} needs. "
            f"Use {below} or {below + multiple}."
        )
    overlap = settings.tiling.overlap_px
    if overlap == "auto":
        overlap = bundle.overlap_px if patch == bundle.patch_px else patch // 4
    return patch, overlap


def _tile(
    survey: Survey, scene: Scene, selection: BandSelection, hardware: Hardware, workers: int, layouts: Sequence[str]
) -> Tiling:
    """Cut a scene into blocks, the same as an unfinished run did if its blocks fit."""
    settings, bundle = survey.settings, survey.bundle
    memory = settings.run.memory_gib
    memory_bytes = default_block_bytes(hardware) if memory == "auto" else int(memory * 2**30)
    try:
        lattice = Lattice.of((scene.grid.height, scene.grid.width), *_patch_and_overlap(settings, bundle))
        block = settings.tiling.block_px
        if block == "auto":
            block = choose_block_px(
                lattice,
                len(bundle.legend),
                _pixel_bytes(scene, selection),
                memory_bytes=memory_bytes,
                block_pixels=BLOCK_PIXELS[hardware.device],
                workers=workers,
            )
            earlier = [block_px for layout in layouts if (block_px := layout_block_px(layout, hardware)) is not None]
            fitting = [px for px in earlier if _block_bytes(px, lattice, bundle, scene, selection) <= memory_bytes]
            block = max(fitting, default=block)
        tiling = Tiling(lattice, int(block))
    except ValueError as error:
        raise SettingsError(str(error)) from error
    needed = _block_bytes(tiling.block_px, lattice, bundle, scene, selection)
    if needed > memory_bytes:
        largest = largest_block_px(lattice, len(bundle.legend), _pixel_bytes(scene, selection), memory_bytes)
        remedy = f"tiling.block_px={largest} or less, or" if largest else "tiling.patch_px lower or"
        raise SettingsError(
            f"tiling.block_px={block} needs {needed / 2**30:.2f} GiB for a block of {scene.path}, more than "
            f"run.memory_gib={memory_bytes / 2**30:.3g}. Set {remedy} run.memory_gib higher."
        )
    return tiling


def _pixel_bytes(scene: Scene, selection: BandSelection) -> int:
    return len(selection.bands) * selection.dtype(scene).itemsize


def _block_bytes(block_px: int, lattice: Lattice, bundle: Bundle, scene: Scene, selection: BandSelection) -> int:
    return project_block_bytes(block_px, lattice, len(bundle.legend), _pixel_bytes(scene, selection))


def _check_names(scenes: Sequence[Scene]) -> None:
    """Two scenes must not write to one place, also where a disk ignores case."""
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
    """A run must not replace what it reads."""
    if "://" in output:
        return
    for scene in scenes:
        for prefix in (rasters_prefix(scene.scene_id), polygons_prefix(scene.scene_id)):
            folder = (Path(output) / prefix).resolve()
            if any(Path(file).resolve().is_relative_to(folder) for file in scene.files):
                raise SettingsError(
                    f"The output {output} would replace its own input {scene.path}. Give --output another directory."
                )
