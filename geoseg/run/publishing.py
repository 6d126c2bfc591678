"""The last stage of a scene: from finished blocks to rasters and polygons, committed together."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from geoseg.grid.blend import ClassMap
from geoseg.publish.facts import stamp
from geoseg.publish.geoparquet import write_part
from geoseg.publish.polygons import published_crs
from geoseg.publish.rasters import write_classes, write_confidence
from geoseg.publish.sorting import sorted_parts
from geoseg.run.plan import ScenePlan
from geoseg.run.stages import Cost
from geoseg.run.tracing import keep_polygons
from geoseg.vector.blocks import join_blocks


@dataclass(frozen=True, slots=True)
class Published:
    """What the output holds of a scene."""

    costs: tuple[Cost, ...]
    """Of the rasters and of the polygons."""
    rasters: str
    """Folder of the class map and the confidence."""
    polygons_path: str | None
    """Folder of the GeoParquet parts; None for a scene without a CRS."""
    pixels: int
    """Pixels of the scene."""
    polygons: int
    """Number of polygons."""
    area_m2: float
    """Sum of the polygons' areas."""
    area_m2_by_class: dict[str, float]
    """Area of every class of the legend."""


def publish_scene(plan: ScenePlan, *traced: Any) -> Published:
    """Assemble the finished blocks, join the polygons that span them and put all in its place.

    Args:
        plan: The scene.
        traced: For each block, in turns, what goes on in other blocks (`Unfinished`) and its seams (int64, shape
            (P, 2)); nothing for a scene without a CRS.
    """
    staged = plan.store.work / "publish"
    staged.mkdir(parents=True, exist_ok=True)
    started = perf_counter()
    rasters = _write_rasters(plan, staged / "rasters")
    rasters_cost = Cost("rasters", perf_counter() - started, _bytes(rasters))
    if not traced:
        plan.store.commit(rasters, None)
        return _published(plan, (rasters_cost,), {}, 0)
    started = perf_counter()
    keep_polygons(plan, "spanning", join_blocks(traced[::2], np.concatenate(traced[1::2])))
    polygons = staged / "polygons"
    polygons.mkdir()
    files = [plan.store.polygons_of(name) for name in ("spanning", *(block.name for block in plan.tiling.blocks()))]
    areas: Counter[str] = Counter()
    count = 0
    crs_wkt, wanted = published_crs(plan.scene.grid, plan.polygons.crs), plan.polygons
    stride_px = plan.tiling.lattice.rows.stride_px
    facts: dict[str, Any] = {
        "simplify_px": wanted.simplify_px,
        "min_area_px": wanted.min_area_px,
        "cut_px": stride_px,
        "classes": wanted.classes,
        "not_dissolved": wanted.undissolved,
    }
    for part, table in enumerate(sorted_parts(files, plan.scene.grid, stride_px)):
        write_part(polygons, part, stamp(table, **facts), crs_wkt=crs_wkt)
        sums = table.group_by("class_name").aggregate([("area_m2", "sum")]).to_pydict()
        areas.update(dict(zip(sums["class_name"], sums["area_m2_sum"], strict=True)))
        count += len(table)
    polygons_cost = Cost("polygons", perf_counter() - started, _bytes(polygons))
    plan.store.commit(rasters, polygons)
    by_class = {name: float(areas[name]) for name in plan.legend.names}
    return _published(plan, (rasters_cost, polygons_cost), by_class, count)


def _write_rasters(plan: ScenePlan, folder: Path) -> Path:
    folder.mkdir()

    def blocks() -> Iterator[ClassMap]:
        return (plan.store.get_block(block) for block in plan.tiling.blocks())

    grid, sample = plan.scene.grid, plan.scene.area_or_point
    write_classes(folder / "classes.tif", grid, plan.legend, ((b.window, b.classes) for b in blocks()), sample)
    write_confidence(folder / "confidence.tif", grid, ((b.window, b.confidence) for b in blocks()), sample)
    return folder


def _published(plan: ScenePlan, costs: tuple[Cost, ...], area_by_class: dict[str, float], polygons: int) -> Published:
    return Published(
        costs=costs,
        rasters=str(plan.store.rasters),
        polygons_path=str(plan.store.polygons) if plan.scene.grid.crs else None,
        pixels=plan.tiling.lattice.scene.pixels,
        polygons=polygons,
        area_m2=sum(area_by_class.values()),
        area_m2_by_class=area_by_class,
    )


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())
