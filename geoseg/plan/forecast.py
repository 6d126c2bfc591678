"""Forecast of a run without starting it: `geoseg segment --dry-run`."""

import math
import os
from contextlib import suppress
from dataclasses import dataclass

from geoseg.config import Settings
from geoseg.errors import SettingsError
from geoseg.model.bundle.trust import read_trusted_bundle
from geoseg.model.hardware import Hardware, find_hardware
from geoseg.plan.run_plan import make_plan
from geoseg.plan.scene_plan import ScenePlan
from geoseg.plan.sizing import require_cpu, strip_bytes
from geoseg.plan.survey import check_output, survey
from geoseg.store.scratch_space import THIS_MACHINE, check_room, find_room

PATCH_PIXELS_PER_S = {"cpu": 1e6, "cuda": 5e7}
"""Patch pixels that one worker predicts per second with a common U-Net; a rough figure."""
OUTPUT_BYTES_PER_VALUE = 2.0
"""Of a pixel in one band: finished blocks (1), a temporary raster (half) and the COG with its overviews (half)."""

COMMON_GPU = Hardware("cuda", "a common GPU", bf16=True, memory_bytes=16 << 30)


@dataclass(frozen=True, slots=True)
class SceneForecast:
    """Forecast of one scene."""

    plan: ScenePlan
    blocks: int
    """Blocks that are read: all, or those that touch the area of interest."""
    patches: int
    """Patches that go through the model, if all pixels are valid."""
    disk_bytes: int
    """Largest size of the output while the scene is processed."""
    seconds: float
    """Estimate for a common U-Net, if the model predicts all these patches."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Forecast of a run."""

    device: str
    workers: int
    scenes: tuple[SceneForecast, ...]
    failed: tuple[tuple[str, str], ...]
    """Scenes that cannot be processed: (path, message)."""
    warnings: tuple[str, ...]
    reused: tuple[str, ...] = ()
    """What scenes take over from published results, as sentences."""


def forecast(settings: Settings) -> Forecast:
    """Survey and plan a run without a cluster; nothing is written.

    If workers and device are ``auto``, the CPUs of this machine are assumed.

    Raises:
        SettingsError: If the run could not start with these settings.
    """
    device = "cpu" if settings.run.device == "auto" else settings.run.device
    auto_workers = 1 if settings.run.address == "inline" else max(1, (os.cpu_count() or 1) // settings.run.threads)
    workers = auto_workers if settings.run.workers == "auto" else settings.run.workers
    if settings.run.address == "inline":
        require_cpu(device, workers)
    bundle = read_trusted_bundle(settings.model, trust_code=settings.trust_model_code, sha256=settings.model_sha256)
    checked = check_output(survey(settings, bundle))
    plan = make_plan(checked, "", _guess_hardware(device), workers)
    if settings.run.address == "inline":  # the nodes of a cluster are unknown
        values = [(scene.scene.path, scene.tiling.lattice.scene.pixels * scene.planes) for scene in plan.scenes]
        check_room(settings.output, values, {THIS_MACHINE: find_room(settings.run.scratch_dir)})
    passes = 1.0 if plan.network is None else plan.network[1].options.passes
    scenes = tuple(_forecast_scene(scene, device, workers, passes) for scene in plan.scenes)
    return Forecast(device, workers, scenes, plan.failed, plan.warnings, tuple(plan.reused))


def _guess_hardware(device: str) -> Hardware:
    """The hardware of this machine, or a common GPU if it has none; the cluster is not contacted."""
    with suppress(SettingsError):
        return find_hardware(device)
    return COMMON_GPU


def _forecast_scene(scene: ScenePlan, device: str, workers: int, passes: float) -> SceneForecast:
    lattice, tiling = scene.tiling.lattice, scene.tiling
    strips_bytes = tiling.count * strip_bytes(tiling.block_px, lattice, len(scene.legend))
    area = scene.selection.area
    blocks, patches = (tiling.count, lattice.count) if area is None else area.touched(tiling)
    patches = 0 if scene.reused else math.ceil(patches * scene.dates)
    patch_pixels = patches * lattice.rows.patch_px**2
    return SceneForecast(
        scene,
        blocks,
        patches,
        disk_bytes=int(lattice.scene.pixels * scene.planes * OUTPUT_BYTES_PER_VALUE) + strips_bytes,
        seconds=passes * patch_pixels / PATCH_PIXELS_PER_S[device] / min(workers, max(1, blocks)),
    )
