"""The last stages of a scene: from finished blocks to staged rasters and polygons, and their commit.

Class map, each other raster and polygons are separate units that run in parallel. Each stages its files and returns
their sizes and digests; `seal_scene` writes the journal once all are staged.
"""

import shutil
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg import faults
from geoseg.errors import SceneError
from geoseg.grid.decision import PROBABILITIES
from geoseg.grid.tiling import Block
from geoseg.grid.window import Window
from geoseg.plan.inputs import check_unchanged
from geoseg.plan.scene_plan import ScenePlan
from geoseg.publish.arrow_files import save_table
from geoseg.publish.geoparquet import write_part
from geoseg.publish.polygon_table import published_crs
from geoseg.publish.provenance import Provenance
from geoseg.publish.rasters import Piece, Pieces, write_classes, write_layer
from geoseg.publish.sorting import sorted_parts
from geoseg.reuse.reused import CLASSES, Reused, raster_key
from geoseg.stages.metrics import UnitMetrics, UnitTimer
from geoseg.stages.tracing import polygon_table
from geoseg.store.commit import commit, seal, stage
from geoseg.store.manifest import Manifest, polygons_prefix, rasters_prefix
from geoseg.vector.joining import join_blocks
from geoseg.vector.polygons import SPECK_PX
from geoseg.vector.seams import concatenate_seams

READ_AHEAD = 1
"""Number of blocks that are read in advance."""


@dataclass(frozen=True, slots=True)
class Staged:
    """A part of a scene's results that is staged: in the storage, but not yet published."""

    metrics: UnitMetrics
    """Metrics of the unit."""
    files: Mapping[str, Mapping[str, Any]]
    """As in `Manifest`."""
    results: Mapping[str, Any] = field(default_factory=dict)
    """As in `Manifest`."""


def carry_rasters(plan: ScenePlan) -> Staged:
    """Take over published rasters as they are: they stay where they are, or are copied from another output.

    Raises:
        OSError: If a file cannot be written.
        SceneError: If a raster has changed.
    """
    faults.hit("publish", "start", "rasters")
    plan.store.require_lock()
    timer, reused = UnitTimer("rasters"), plan.reused
    if reused is None:
        raise ValueError(f"Scene {plan.scene.scene_id} takes over no rasters.")
    names = (CLASSES, *plan.rasters)
    files = {raster_key(plan.scene.scene_id, name): reused.manifest.files[reused.key(name)] for name in names}
    if reused.url == plan.store.storage.url:
        return Staged(timer.metrics(), files)
    for name in names:
        _copy_raster(plan, reused, name)
    return Staged(timer.metrics(bytes=_bytes(files)), files)


def publish_classes(plan: ScenePlan) -> Staged:
    """Assemble the class map from the finished blocks and stage it.

    Raises:
        OSError: If the file cannot be written.
    """

    def write(path: Path, pieces: Pieces) -> None:
        write_classes(path, plan.scene.grid, plan.legend, pieces, plan.scene.area_or_point)

    return _publish_raster(plan, CLASSES, plan.store.classes, write)


def publish_raster(plan: ScenePlan, name: str) -> Staged:
    """Assemble the confidence or a layer from the finished blocks and stage it; errors as of `publish_classes`."""
    bands = plan.legend.names[: plan.decision.channels] if name == PROBABILITIES else (name,)

    def write(path: Path, pieces: Pieces) -> None:
        write_layer(path, plan.scene.grid, name, bands, pieces, plan.scene.area_or_point)

    return _publish_raster(plan, name, lambda block: plan.store.layer(block, name, plan.decision), write)


def publish_polygons(plan: ScenePlan) -> Staged:
    """Join the polygons that span blocks, sort all polygons of the scene, and stage them.

    Raises:
        OSError: If a file cannot be written.
        SceneError: As `geoseg.publish.polygon_table.build_table`.
    """
    faults.hit("publish", "start", "polygons")
    plan.store.require_lock()
    timer = UnitTimer("polygons")
    with plan.store.storage.scratch(plan.store.work) as folder:
        parts, results = _write_polygons(plan, folder)
        files = stage(plan.store, [(part, f"{polygons_prefix(plan.scene.scene_id)}/{part.name}") for part in parts])
    return Staged(timer.metrics(bytes=_bytes(files)), files, results)


def seal_scene(plan: ScenePlan, parts: Iterable[Staged]) -> tuple[str, ...]:
    """Write the journal of all that is staged of a scene, for `commit_scene`.

    Returns:
        Sentences for the report.

    Raises:
        SceneError: If a file of the scene has changed since it was read, or a raster that is taken over.
        UnreachableError: If a file of the scene cannot be reached.
    """
    faults.hit("seal", "start", plan.scene.scene_id)
    plan.store.require_lock()
    notes = check_unchanged(plan.scene)
    if plan.reused is not None:
        plan.reused.check_unchanged()
    files: dict[str, Mapping[str, Any]] = {}
    results: dict[str, Any] = {"pixels": plan.tiling.lattice.scene.pixels, "polygons": 0, "model": plan.model}
    for part in parts:
        files |= part.files
        results |= part.results
    seal(plan.store, Manifest(plan.fingerprint, files, results))
    return tuple(notes)


def commit_scene(plan: ScenePlan) -> tuple[UnitMetrics, dict[str, Any]]:
    """Publish what is staged; the metrics and the results of the scene."""
    timer = UnitTimer("commit")
    manifest = commit(plan.store)
    return timer.metrics(), dict(manifest.results)


def _publish_raster(
    plan: ScenePlan, name: str, read: Callable[[Block], NDArray[Any]], write: Callable[[Path, Pieces], None]
) -> Staged:
    """Write a raster from the finished blocks and stage it."""
    faults.hit("publish", "start", name)
    plan.store.require_lock()
    timer = UnitTimer("rasters")
    with plan.store.storage.scratch(plan.store.work) as folder:
        file = folder / f"{name}.tif"
        write(file, _pieces(plan, read))
        files = stage(plan.store, [(file, f"{rasters_prefix(plan.scene.scene_id)}/{file.name}")])
    return Staged(timer.metrics(bytes=_bytes(files)), files)


def _copy_raster(plan: ScenePlan, reused: Reused, name: str) -> None:
    """Stage a copy of a raster of another output."""
    key = raster_key(plan.scene.scene_id, name)
    with plan.store.storage.scratch(plan.store.work) as folder:
        file, copy = reused.storage.fetch(reused.key(name), folder), folder / Path(key).name
        shutil.copyfile(file, copy)
        if stage(plan.store, [(copy, key)])[key] != reused.manifest.files[reused.key(name)]:
            raise SceneError(f"{reused.key(name)} in {reused.url} has changed since the run began. Run it again.")


def _pieces(plan: ScenePlan, read: Callable[[Block], NDArray[Any]]) -> Iterator[Piece]:
    """The finished blocks; each is read while the one before it is written."""
    with ThreadPoolExecutor(1) as pool:
        pending: deque[tuple[Window, Future[NDArray[Any]]]] = deque()
        for block in plan.tiling.blocks():
            if not plan.store.is_blank(block):
                pending.append((block.core, pool.submit(read, block)))
            if len(pending) > READ_AHEAD:
                window, pixels = pending.popleft()
                yield window, pixels.result()
        yield from ((window, pixels.result()) for window, pixels in pending)


def _write_polygons(plan: ScenePlan, folder: Path) -> tuple[list[Path], dict[str, Any]]:
    """Write the parts into a folder; the files, and the counts and areas of their polygons."""
    faults.hit("seams", "start", plan.scene.scene_id)
    traced, parts = folder / "traced", folder / "parts"
    traced.mkdir()
    parts.mkdir()
    open_polygons, seams = plan.store.open_blocks(plan.tiling.blocks(), traced)
    sources = plan.store.polygon_files(plan.tiling.blocks(), traced)
    spanning_polygons = join_blocks(
        open_polygons, concatenate_seams(seams), plan.scene.grid.transform, simplify_px=plan.polygons.simplify_px
    )
    for number, spanning in enumerate(spanning_polygons):
        sources.append(folder / f"spanning-{number:05d}.arrow")
        save_table(sources[-1], polygon_table(plan, spanning))
    crs_wkt, made = published_crs(plan.scene.grid, plan.polygons.crs), plan.polygons
    provenance = Provenance(made.simplify_px, plan.cut_px, made.min_area_px, made.classes, made.not_dissolved)
    areas: Counter[str] = Counter()
    count = specks = 0
    for part, table in enumerate(sorted_parts(sources, plan.scene.grid, plan.cut_px)):
        write_part(parts, part, provenance.stamp(table), crs_wkt=crs_wkt)
        sums = table.group_by("class_name").aggregate([("area_m2", "sum")]).to_pydict()
        areas.update(dict(zip(sums["class_name"], sums["area_m2_sum"], strict=True)))
        count += len(table)
        specks += int(np.count_nonzero(table["pixels"].to_numpy() < SPECK_PX))
    by_class = {name: float(areas[name]) for name in plan.legend.names}
    results = {
        "polygons": count,
        "specks": specks,
        "area_m2": sum(by_class.values()),
        "area_m2_by_class": by_class,
        "crs": crs_wkt,
    }
    return sorted(parts.iterdir()), results


def _bytes(files: Mapping[str, Mapping[str, Any]]) -> int:
    return sum(facts["bytes"] for facts in files.values())
