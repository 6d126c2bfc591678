"""The last stages of a scene: from finished blocks to staged rasters and polygons, and their commit."""

from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from geoseg.errors import SceneError
from geoseg.grid.blend import ClassMap
from geoseg.publish.facts import stamp
from geoseg.publish.geoparquet import write_part
from geoseg.publish.polygons import published_crs
from geoseg.publish.rasters import write_classes, write_confidence
from geoseg.publish.sorting import sorted_parts, write_table
from geoseg.raster.identity import identify
from geoseg.run import faults
from geoseg.run.commit import commit, polygons_prefix, rasters_prefix, stage
from geoseg.run.plan import ScenePlan
from geoseg.run.stages import Clock, Cost
from geoseg.run.tracing import polygon_table
from geoseg.vector.blocks import join_blocks
from geoseg.vector.seams import concatenate_seams

READ_AHEAD = 1
"""Blocks that are read before they are needed."""


def publish_scene(plan: ScenePlan) -> tuple[Cost, ...]:
    """Assemble the finished blocks, join the polygons that span them, and stage all for `commit_scene`.

    Raises:
        SceneError: If the input is no longer the one that was read, or a file cannot be written.
    """
    faults.hit("publish", "start", plan.scene.scene_id)
    _check_unchanged(plan)
    scene_id = plan.scene.scene_id
    results: dict[str, Any] = {"pixels": plan.tiling.lattice.scene.pixels, "polygons": 0}
    with plan.store.storage.scratch(plan.store.work) as folder:
        clock = Clock("rasters")
        files = [(file, f"{rasters_prefix(scene_id)}/{file.name}") for file in _write_rasters(plan, folder)]
        costs = [clock.cost(bytes=_bytes(file for file, _ in files))]
        if plan.scene.grid.crs:
            clock = Clock("polygons")
            parts, counts = _write_polygons(plan, folder)
            files += [(file, f"{polygons_prefix(scene_id)}/{file.name}") for file in parts]
            results |= counts
            costs.append(clock.cost(bytes=_bytes(parts)))
        stage(plan.store, files, plan.fingerprint, results)
    return tuple(costs)


def commit_scene(plan: ScenePlan) -> tuple[Cost, dict[str, Any]]:
    """Put what is staged into its place; what it took, and the results."""
    clock = Clock("commit")
    manifest = commit(plan.store)
    return clock.cost(), dict(manifest.results)


def _check_unchanged(plan: ScenePlan) -> None:
    """Refuse to publish a mixture of two versions of the input."""
    for file, before in zip(plan.scene.files, plan.scene.versions, strict=True):
        now = tuple(identify(file))
        if now != before:
            raise SceneError(
                f"{file} was replaced while {plan.scene.path} was processed (was {before}, now {now}). Run the same "
                "command again: the scene is done anew."
            )


def _write_rasters(plan: ScenePlan, folder: Path) -> list[Path]:
    classes, confidence = folder / "classes.tif", folder / "confidence.tif"

    def blocks() -> Iterator[ClassMap]:
        """The finished blocks, each read while the one before it is written."""
        with ThreadPoolExecutor(1) as pool:
            coming: deque[Future[ClassMap]] = deque()
            for block in plan.tiling.blocks():
                if not plan.store.is_blank(block):
                    coming.append(pool.submit(plan.store.class_map, block))
                if len(coming) > READ_AHEAD:
                    yield coming.popleft().result()
            yield from (block.result() for block in coming)

    grid, sample = plan.scene.grid, plan.scene.area_or_point
    write_classes(classes, grid, plan.legend, ((b.window, b.classes) for b in blocks()), sample)
    write_confidence(confidence, grid, ((b.window, b.confidence) for b in blocks()), sample)
    return [classes, confidence]


def _write_polygons(plan: ScenePlan, folder: Path) -> tuple[list[Path], dict[str, Any]]:
    """Write the parts into a folder; the files, and the counts and areas of what they hold."""
    faults.hit("seams", "start", plan.scene.scene_id)
    rests = plan.store.rests(plan.tiling.blocks())
    spanning = join_blocks([rest.unfinished for rest in rests], concatenate_seams(rest.seams for rest in rests))
    (folder / "spanning.arrow").write_bytes(write_table(polygon_table(plan, spanning)))
    traced, parts = folder / "traced", folder / "parts"
    traced.mkdir()
    parts.mkdir()
    sources = [folder / "spanning.arrow", *plan.store.polygon_files(plan.tiling.blocks(), traced)]
    crs_wkt, stride_px = published_crs(plan.scene.grid, plan.polygons.crs), plan.tiling.lattice.rows.stride_px
    facts: dict[str, Any] = {
        "simplify_px": plan.polygons.simplify_px,
        "min_area_px": plan.polygons.min_area_px,
        "cut_px": stride_px,
        "classes": plan.polygons.classes,
        "not_dissolved": plan.polygons.undissolved,
    }
    areas: Counter[str] = Counter()
    count = 0
    for part, table in enumerate(sorted_parts(sources, plan.scene.grid, stride_px)):
        write_part(parts, part, stamp(table, **facts), crs_wkt=crs_wkt)
        sums = table.group_by("class_name").aggregate([("area_m2", "sum")]).to_pydict()
        areas.update(dict(zip(sums["class_name"], sums["area_m2_sum"], strict=True)))
        count += len(table)
    by_class = {name: float(areas[name]) for name in plan.legend.names}
    results = {"polygons": count, "area_m2": sum(by_class.values()), "area_m2_by_class": by_class, "crs": crs_wkt}
    return sorted(parts.iterdir()), results


def _bytes(files: Any) -> int:
    return sum(file.stat().st_size for file in files)
