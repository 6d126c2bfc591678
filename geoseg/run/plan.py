"""Everything a run decides before it starts: scenes, bands, patches, blocks, bytes."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from geoseg.config import Settings
from geoseg.errors import SceneError, SettingsError
from geoseg.grid.legend import Legend
from geoseg.grid.tiling import Lattice, Tiling
from geoseg.model.bundle import Bundle
from geoseg.publish.crs import check_one_crs
from geoseg.raster.bands import BandSelection, describe_warnings, select_bands
from geoseg.raster.scene import Scene, describe
from geoseg.run.polygon_plan import PolygonPlan, plan_polygons
from geoseg.run.sizing import BLOCK_PIXELS, MEMORY_BYTES, choose_block_px, project_block_bytes
from geoseg.run.store import SceneStore


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


@dataclass(frozen=True, slots=True)
class Plan:
    """A run that can start."""

    settings: Settings
    bundle: Bundle
    run_id: str
    scenes: tuple[ScenePlan, ...]
    failed: tuple[tuple[str, str], ...]
    """Scenes that cannot be processed: (path, message)."""
    warnings: tuple[str, ...]

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
        SettingsError: If the scenes cannot be processed in one run, or the output is in their way.
    """
    found, failed, warnings = [], [], []
    for path in settings.scenes:
        try:
            scene = describe(
                path,
                assume_crs=settings.scene.assume_crs,
                allow_ungeoreferenced=settings.scene.allow_ungeoreferenced,
                remote=settings.scene.remote,
                allow_private_hosts=settings.scene.allow_private_hosts,
            )
            selection = select_bands(
                scene,
                len(bundle.bands),
                bands=None if settings.scene.bands == "auto" else settings.scene.bands,
                mask_band=settings.scene.mask_band,
                nodata_rule=settings.scene.nodata_rule,
                names=bundle.bands,
            )
        except SceneError as error:
            failed.append((path, str(error)))
            continue
        warnings += describe_warnings(scene, selection)
        found.append((scene, selection))
    output = Path(settings.output)
    _check_names([scene for scene, _ in found])
    _check_output(output, [scene for scene, _ in found], overwrite=settings.overwrite)
    check_one_crs(output, [scene for scene, _ in found], settings.polygons.crs)
    return Survey(settings, bundle, tuple(found), tuple(failed), tuple(warnings))


def make_plan(survey: Survey, device: str, workers: int) -> Plan:
    """Cut the scenes for a device and a number of workers.

    Raises:
        SettingsError: If patch, overlap and block do not go together or a block does not fit into memory.
    """
    settings, bundle = survey.settings, survey.bundle
    run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    scenes = []
    for scene, selection in survey.scenes:
        tiling = _tile(settings, bundle, scene, selection, device, workers)
        scenes.append(
            ScenePlan(
                scene=scene,
                selection=selection,
                tiling=tiling,
                legend=bundle.legend,
                store=SceneStore(Path(settings.output).resolve(), scene.scene_id, run_id),
                model=bundle.name,
                observed_at=settings.scene.observed_at,
                polygons=plan_polygons(settings.polygons, bundle.legend, scene),
                block_bytes=_block_bytes(tiling, bundle, scene, selection),
            )
        )
    return Plan(settings, bundle, run_id, tuple(scenes), survey.failed, survey.warnings)


def patch_px(settings: Settings, bundle: Bundle) -> int:
    """Side of a patch: the setting, or what the bundle says."""
    return bundle.patch_px if settings.tiling.patch_px == "auto" else settings.tiling.patch_px


def _tile(
    settings: Settings, bundle: Bundle, scene: Scene, selection: BandSelection, device: str, workers: int
) -> Tiling:
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
    memory = settings.run.memory_gib
    memory_bytes = MEMORY_BYTES[device] if memory == "auto" else int(memory * 2**30)
    try:
        lattice = Lattice.of((scene.grid.height, scene.grid.width), patch, overlap)
        block = settings.tiling.block_px
        if block == "auto":
            block = choose_block_px(
                lattice,
                len(bundle.legend),
                _pixel_bytes(scene, selection),
                memory_bytes=memory_bytes,
                block_pixels=BLOCK_PIXELS[device],
                workers=workers,
            )
        tiling = Tiling(lattice, block)
    except ValueError as error:
        raise SettingsError(str(error)) from error
    needed = _block_bytes(tiling, bundle, scene, selection)
    if needed > memory_bytes:
        raise SettingsError(
            f"tiling.block_px={block} needs {needed / 2**30:.2f} GiB for a block of {scene.path}, more than "
            f"run.memory_gib={memory_bytes / 2**30:.3g}. Set tiling.block_px lower (auto picks the largest that fits) "
            "or run.memory_gib higher."
        )
    return tiling


def _pixel_bytes(scene: Scene, selection: BandSelection) -> int:
    return len(selection.bands) * np.result_type(*(scene.dtypes[band - 1] for band in selection.bands)).itemsize


def _block_bytes(tiling: Tiling, bundle: Bundle, scene: Scene, selection: BandSelection) -> int:
    pixel_bytes = _pixel_bytes(scene, selection)
    return project_block_bytes(tiling.block_px, tiling.lattice, len(bundle.legend), pixel_bytes)


def _check_names(scenes: Sequence[Scene]) -> None:
    """Two scenes must not write to one place, also where a disk ignores case."""
    seen: dict[str, Scene] = {}
    for scene in scenes:
        other = seen.setdefault(scene.scene_id.casefold(), scene)
        if other is scene:
            continue
        if other.path == scene.path:
            raise SettingsError(f"{scene.path} is given twice. Give each scene once.")
        raise SettingsError(
            f"{other.path} and {scene.path} would both be published as {scene.scene_id!r}. Rename one of them, or "
            "run them into two outputs."
        )


def _check_output(output: Path, scenes: Sequence[Scene], *, overwrite: bool) -> None:
    for scene in scenes:
        store = SceneStore(output, scene.scene_id, "")
        if store.is_published and not overwrite:
            raise SettingsError(
                f"The output {output} already holds scene {scene.scene_id}. Give --overwrite to replace it, or another "
                "--output."
            )
        if any(
            Path(file).resolve().is_relative_to(folder.resolve())
            for file in scene.files
            for folder in (store.rasters, store.polygons)
        ):
            raise SettingsError(
                f"The output {output} would replace its own input {scene.path}. Give --output another directory."
            )
