"""All decisions before a run starts: patches, blocks, memory, and what is left to do in each scene."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from geoseg.config import InferenceSettings, Settings
from geoseg.errors import SceneError, SettingsError
from geoseg.grid.decision import LAYERS, Decision
from geoseg.grid.fusion import DATES
from geoseg.grid.tiling import Lattice, Tiling
from geoseg.model.bundle.bundle import Bundle
from geoseg.model.bundle.files import MODEL_FILE
from geoseg.model.hardware import Hardware
from geoseg.model.inference import Inference, Started, check_options, choose_precision
from geoseg.model.patchwork.options import Crf, PatchOptions
from geoseg.plan.fingerprint import layout_block_px, layout_name, take_fingerprint
from geoseg.plan.inputs import settle_versions
from geoseg.plan.polygon_settings import plan_polygons
from geoseg.plan.resume import find_earlier_work, read_stored
from geoseg.plan.scene_plan import ScenePlan
from geoseg.plan.sizing import (
    BLOCK_PIXELS,
    DATES_BYTES,
    SCORE_BYTES,
    BlockMemory,
    default_block_bytes,
    project_batch_bytes,
)
from geoseg.plan.survey import Survey
from geoseg.plan.thresholds import extend_legend, plan_limits
from geoseg.raster.bands import BandSelection
from geoseg.raster.source.scene import Scene
from geoseg.reuse.reused import explain_reused
from geoseg.store.manifest import digest
from geoseg.store.scene_store import WORK, SceneStore
from geoseg.store.storages.opening import open_storage


@dataclass(frozen=True, slots=True)
class Plan:
    """A run that can start."""

    output: str
    """Where results go."""
    config: dict[str, Any]
    """The settings, for the report."""
    model: Mapping[str, str]
    """Name, path and sha256 of the model, for the report."""
    network: tuple[Bundle, Inference] | None
    """The model, and how the forward pass runs; None where no scene can need it."""
    run_id: str
    scenes: tuple[ScenePlan, ...]
    """Scenes with work left."""
    up_to_date: tuple[tuple[str, str, Mapping[str, Any]], ...]
    """Scenes that are already published: (path, scene id, results)."""
    failed: tuple[tuple[str, str], ...]
    """Scenes that cannot be processed: (path, message)."""
    skipped: tuple[tuple[str, str], ...]
    """Scenes outside the area of interest: (path, scene id)."""
    warnings: tuple[str, ...]
    stale: tuple[str, ...]
    """Folders of the output with unfinished work that no run will continue."""
    order: tuple[str, ...]
    """Paths of all scenes, in the order of the settings."""

    @property
    def used_network(self) -> tuple[Bundle, Inference] | None:
        """The model, if a scene needs it."""
        return self.network if any(scene.reused is None for scene in self.scenes) else None

    @property
    def reused(self) -> list[str]:
        """What scenes take over from published results, as sentences."""
        return explain_reused((scene.reused, scene.fingerprint) for scene in self.scenes)

    @property
    def block_count(self) -> int:
        """Blocks of all scenes."""
        return sum(scene.tiling.count for scene in self.scenes)

    @property
    def block_bytes(self) -> int:
        """Bytes of the largest block in work."""
        return max((scene.block_bytes for scene in self.scenes), default=0)


def make_plan(survey: Survey, run_id: str, hardware: Hardware, workers: int, lock_token: str | None = None) -> Plan:
    """Plan the blocks of each scene for a kind of device and a number of workers, and find out what is left to do.

    Raises:
        SettingsError: If patch, overlap and block do not fit together, or a block does not fit into memory.
    """
    settings = survey.settings
    storage = open_storage(settings.output, settings.run.scratch_dir)
    _check_batch(settings, survey.bundle)
    inference, decision = _plan_inference(settings, survey.bundle, hardware)
    legend = extend_legend(settings.inference, survey.bundle.legend)
    scenes, up_to_date, failed, warnings = [], [], list(survey.failed), list(survey.warnings)
    stale: list[str] = []
    for scene, selection in survey.scenes:
        polygons = plan_polygons(settings.polygons, legend, scene)
        overlap_px = _overlap_px(settings, survey.bundle)
        stored = read_stored(storage, scene.scene_id)
        try:
            scene, file_warnings = settle_versions(scene, stored.fingerprints)  # noqa: PLW2901  adds the versions
            warnings += file_warnings
            fingerprint = take_fingerprint(
                settings, survey.bundle, scene, selection, polygons, inference, overlap_px=overlap_px
            )
            key = digest(fingerprint)
            rasters = (*settings.rasters.publish, *((DATES,) if _is_fused(scene, inference) else ()))
            earlier = find_earlier_work(
                storage, stored, fingerprint, key, rasters, settings.run, overwrite=settings.overwrite
            )
        except SceneError as error:
            failed.append((scene.path, str(error)))
            continue
        warnings += earlier.warnings
        stale += earlier.stale
        if earlier.published is not None:
            up_to_date.append((scene.path, scene.scene_id, earlier.published))
            continue
        reused = earlier.reused
        smoothing_px = 0 if reused else settings.inference.smoothing_radius_px  # published classes are smoothed
        layouts = storage.folders(f"{WORK}/{scene.scene_id}/{key}")
        tiling = _tile(
            survey, scene, selection, hardware, workers, layouts, inference, decision, reused=reused is not None
        )
        scenes.append(
            ScenePlan(
                scene=scene,
                selection=selection,
                tiling=tiling,
                legend=legend,
                store=SceneStore(
                    url=storage.url,
                    scene_id=scene.scene_id,
                    fingerprint=key,
                    layout=layout_name(tiling.block_px, hardware, reused=reused is not None),
                    token=lock_token,
                    scratch_dir=settings.run.scratch_dir,
                    smoothed=bool(smoothing_px),
                ),
                model=survey.bundle.name,
                observed_at=settings.scene.observed_at or scene.time,
                polygons=polygons,
                block_bytes=_memory(tiling.lattice, decision, scene, selection).project(tiling.block_px),
                fingerprint=fingerprint,
                unit_timeout_s=settings.run.unit_timeout_s,
                allow_empty=settings.scene.allow_empty or reused is not None,
                decision=decision,
                smoothing_px=smoothing_px,
                rasters=rasters,
                reused=reused,
            )
        )
    return Plan(
        settings.output,
        settings.model_dump(mode="json"),
        {"name": survey.bundle.name, "path": str(survey.bundle.path), "sha256": survey.bundle.sha256},
        (survey.bundle, inference),
        run_id,
        tuple(scenes),
        tuple(up_to_date),
        tuple(failed),
        survey.skipped,
        tuple(warnings),
        tuple(stale),
        survey.order,
    )


def _plan_inference(settings: Settings, bundle: Bundle, hardware: Hardware) -> tuple[Inference, Decision]:
    """How the forward pass runs, and its part that stages need.

    Raises:
        SettingsError: If the bundle cannot compute in the precision or with the options of the settings.
    """
    run, chosen, patch_px = settings.run, settings.inference, _patch_px(settings, bundle)
    options = PatchOptions(chosen.augment, chosen.temperature, chosen.scales, _plan_crf(chosen))
    check_options(options, bundle, patch_px)
    layers = tuple(name for name in LAYERS if name in settings.rasters.publish)
    decision = Decision(len(bundle.legend), layers, plan_limits(chosen, bundle.legend))
    inference = Inference(
        device=hardware.device,
        patch_px=patch_px,
        batch_size=None if run.batch_size == "auto" else run.batch_size,
        threads=run.threads,
        on_nonfinite=run.on_nonfinite,
        precision=choose_precision(run.precision, bundle, hardware),
        options=options,
        decision=decision,
    )
    return inference, decision


def _plan_crf(chosen: InferenceSettings) -> Crf | None:
    if chosen.crf == "none":
        return None
    return Crf(
        radius_px=chosen.crf_radius_px,
        iterations=chosen.crf_iterations,
        appearance=chosen.crf_appearance,
        appearance_sd=chosen.crf_appearance_sd,
        smoothness=chosen.crf_smoothness,
        smoothness_px=chosen.crf_smoothness_px,
    )


def _patch_px(settings: Settings, bundle: Bundle) -> int:
    return bundle.patch_px if settings.tiling.patch_px == "auto" else settings.tiling.patch_px


def check_device_memory(plan: Plan, hardware: Hardware, started: Started) -> None:
    """Check that the blocks of every scene fit on the GPU beside the network, whose memory was measured at start.

    Raises:
        SettingsError: If not; names the largest block size that fits.
    """
    if plan.used_network is None:
        return
    bundle, inference = plan.used_network
    patch_px = inference.patch_px
    batch_bytes = project_batch_bytes(started.batch_size, patch_px, len(bundle.bands), len(bundle.legend))
    for scene in plan.scenes:
        _memory(scene.tiling.lattice, scene.decision, scene.scene, scene.selection).require_device(
            scene.tiling.block_px, rest_bytes=batch_bytes + started.network_bytes, hardware=hardware
        )


def _check_batch(settings: Settings, bundle: Bundle) -> None:
    """Refuse a batch that does not fit into this machine's memory, if the run computes on this machine."""
    batch = settings.run.batch_size
    if batch == "auto" or settings.run.address not in ("inline", "local"):
        return
    patch = _patch_px(settings, bundle)
    one_bytes = project_batch_bytes(1, patch, len(bundle.bands), len(bundle.legend))
    memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if batch * one_bytes > memory_bytes:
        needed, has = (f"{size / 2**30:,.1f} GiB" for size in (batch * one_bytes, memory_bytes))
        raise SettingsError(
            f"run.batch_size={batch} patches of {patch} px need at least {needed}, and this machine has {has}. "
            f"Set run.batch_size={max(1, memory_bytes // one_bytes // 8)} or less; auto is 1 on a CPU."
        )


def _overlap_px(settings: Settings, bundle: Bundle) -> int:
    """The overlap of patches; raises SettingsError if the model cannot take patches of this size."""
    patch, multiple = _patch_px(settings, bundle), bundle.file.size_multiple
    if patch % multiple:
        below = max(multiple, patch // multiple * multiple)
        raise SettingsError(
            f"tiling.patch_px={patch} is not a multiple of {multiple}, which {bundle.path / MODEL_FILE} states as "
            f"geoseg:size_multiple. Use {below} or {below + multiple}."
        )
    overlap = settings.tiling.overlap_px
    if overlap == "auto":
        overlap = bundle.overlap_px if patch == bundle.patch_px else patch // 4
    return overlap


def _tile(
    survey: Survey,
    scene: Scene,
    selection: BandSelection,
    hardware: Hardware,
    workers: int,
    layouts: Sequence[str],
    inference: Inference,
    decision: Decision,
    *,
    reused: bool,
) -> Tiling:
    """Cut a scene into blocks; as an unfinished run did, if its blocks fit into memory."""
    settings, bundle = survey.settings, survey.bundle
    limit_gib = settings.run.memory_gib
    memory_bytes = default_block_bytes(hardware) if limit_gib == "auto" else int(limit_gib * 2**30)
    try:
        lattice = Lattice.of(
            (scene.grid.height, scene.grid.width), _patch_px(settings, bundle), _overlap_px(settings, bundle)
        )
        memory = _memory(lattice, decision, scene, selection)
        block = settings.tiling.block_px
        if block == "auto":
            # With more forward passes of a patch, a block of a minute's work is smaller.
            passes = 1.0 if reused else max(1.0, inference.options.passes)
            block_pixels = int(BLOCK_PIXELS[hardware.device] / passes)
            block = memory.choose_block_px(memory_bytes=memory_bytes, block_pixels=block_pixels, workers=workers)
            earlier = (layout_block_px(layout, hardware, reused=reused) for layout in layouts)
            block = max((px for px in earlier if px and memory.project(px) <= memory_bytes), default=block)
        tiling = Tiling(lattice, int(block))
    except ValueError as error:
        raise SettingsError(f"tiling.{error}") from error  # its message begins with the name of the setting
    radius = settings.inference.smoothing_radius_px
    if tiling.count > 1 and radius > tiling.block_px and not reused:
        raise SettingsError(
            f"inference.smoothing_radius_px={radius} is larger than tiling.block_px={tiling.block_px}, so a pixel "
            f"would see beyond the next block. Set tiling.block_px={radius} or more."
        )
    needed = memory.project(tiling.block_px)
    if needed > memory_bytes:
        largest = memory.largest_block_px(memory_bytes)
        remedy = f"tiling.block_px={largest} or less, or" if largest else "tiling.patch_px lower or"
        raise SettingsError(
            f"tiling.block_px={block} needs {needed / 2**30:.2f} GiB for a block of {scene.path}, more than "
            f"run.memory_gib={memory_bytes / 2**30:.3g}. Set {remedy} run.memory_gib higher."
        )
    return tiling


def _is_fused(scene: Scene, inference: Inference) -> bool:
    """Whether the scores of several dates are summed; raises SettingsError if the settings do not allow that."""
    if scene.composite is None or not scene.composite.is_fused:
        return False
    if inference.on_nonfinite == "nodata":
        raise SettingsError(
            f"{scene.path}: pick: fuse with run.on_nonfinite=nodata is not possible: a patch without a score on one "
            "date would spoil the sums of all. Set run.on_nonfinite=fail, or correct geoseg:scaling."
        )
    return True


def _memory(lattice: Lattice, decision: Decision, scene: Scene, selection: BandSelection) -> BlockMemory:
    pixel_bytes = len(selection.bands) * selection.dtype(scene).itemsize + (selection.area is not None)
    if scene.composite is not None and scene.composite.is_fused:
        pixel_bytes += SCORE_BYTES * decision.channels + DATES_BYTES  # the sums of the dates before
    return BlockMemory(lattice, decision.channels, pixel_bytes, decision.planes)
