"""The last stage of a scene: from finished blocks to rasters and polygons, committed together."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from geoseg.grid.blend import ClassMap
from geoseg.publish.geoparquet import write_polygons
from geoseg.publish.polygons import build_table, published_crs
from geoseg.publish.rasters import write_classes, write_confidence
from geoseg.raster.polygonize import polygonize
from geoseg.run.plan import ScenePlan
from geoseg.run.stages import Cost


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


def publish_scene(plan: ScenePlan) -> Published:
    """Assemble the finished blocks, trace the polygons and put both in their place.

    Raises:
        SceneError: If the polygons are not exactly the pixels of the class map.
    """
    staged = plan.store.work / "publish"
    staged.mkdir(parents=True, exist_ok=True)
    started = perf_counter()
    rasters = _write_rasters(plan, staged / "rasters")
    rasters_cost = Cost("rasters", perf_counter() - started, _bytes(rasters))
    if not plan.scene.grid.crs:
        plan.store.commit(rasters, None)
        return _published(plan, (rasters_cost,), area_by_class={}, polygons=0)
    started = perf_counter()
    table = build_table(
        polygonize(rasters / "classes.tif", rasters / "confidence.tif"),
        plan.scene.grid,
        plan.legend,
        stride_px=plan.tiling.lattice.rows.stride_px,
        crs=plan.polygons_crs,
        observed_at=plan.observed_at,
        model=plan.model,
    )
    polygons = staged / "polygons"
    polygons.mkdir()
    write_polygons(polygons, table, crs_wkt=published_crs(plan.scene.grid, plan.polygons_crs))
    polygons_cost = Cost("polygons", perf_counter() - started, _bytes(polygons))
    plan.store.commit(rasters, polygons)
    sums = table.group_by("class_name").aggregate([("area_m2", "sum")]).to_pydict()
    found = dict(zip(sums["class_name"], sums["area_m2_sum"], strict=True))
    return _published(
        plan,
        (rasters_cost, polygons_cost),
        area_by_class={name: found.get(name, 0.0) for name in plan.legend.names},
        polygons=len(table),
    )


def _write_rasters(plan: ScenePlan, folder: Path) -> Path:
    folder.mkdir()

    def blocks() -> Iterator[ClassMap]:
        return (plan.store.get_block(block) for block in plan.tiling.blocks())

    write_classes(folder / "classes.tif", plan.scene.grid, plan.legend, ((b.window, b.classes) for b in blocks()))
    write_confidence(folder / "confidence.tif", plan.scene.grid, ((b.window, b.confidence) for b in blocks()))
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
