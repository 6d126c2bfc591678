"""Convert the polygon settings to a scene's own pixels and class ids."""

import math
from collections.abc import Sequence

from pyproj import CRS

from geoseg.config import PolygonSettings
from geoseg.errors import SettingsError
from geoseg.explain import shown
from geoseg.grid.legend import NODATA_CLASS, Legend
from geoseg.plan.polygon_plan import PolygonPlan
from geoseg.publish.geodesy.pixel_area import pixel_area
from geoseg.raster.source.scene import Scene
from geoseg.vector.lines.simplify import MAX_SIMPLIFY_PX


def plan_polygons(settings: PolygonSettings, legend: Legend, scene: Scene) -> PolygonPlan:
    """Convert metres to pixels and class names to class ids.

    Raises:
        SettingsError: If a class is unknown, or metres cannot be converted in the scene's CRS.
    """
    simplify_px, min_area_px = settings.simplify_px, settings.min_area_px
    if settings.simplify_m is not None:
        simplify_px = settings.simplify_m / math.sqrt(_pixel_m2(scene))
    if settings.min_area_m2 is not None:
        min_area_px = math.ceil(settings.min_area_m2 / _pixel_m2(scene))
    if simplify_px > MAX_SIMPLIFY_PX:
        raise SettingsError(
            f"polygons.simplify_m={settings.simplify_m} is {simplify_px:g} pixels of {scene.path}; at most "
            f"{MAX_SIMPLIFY_PX:g} are possible. Set it lower."
        )
    not_dissolved = _class_ids(settings.not_dissolved, legend, "polygons.not_dissolved")
    if len(legend) + len(not_dissolved) > NODATA_CLASS:
        raise SettingsError(
            f"polygons.not_dissolved needs a free class id for each of its {len(not_dissolved)} classes, and the "
            f"legend holds {len(legend)} of {NODATA_CLASS}."
        )
    published = None if settings.classes == "all" else _class_ids(settings.classes, legend, "polygons.classes")
    return PolygonPlan(settings.crs, simplify_px, min_area_px, published, not_dissolved, settings.max_count)


def _pixel_m2(scene: Scene) -> float:
    if not scene.grid.crs:
        raise SettingsError(
            f"polygons.simplify_m and polygons.min_area_m2 need a CRS; {scene.path} has none. Use polygons.simplify_px "
            "and polygons.min_area_px."
        )
    area = pixel_area(scene.grid)
    if area.method != "planar":
        raise SettingsError(
            "polygons.simplify_m and polygons.min_area_m2 need a CRS whose areas are those on the ground, to 1 %; that "
            f"of {scene.path} is {CRS.from_wkt(scene.grid.crs).name}. Use polygons.simplify_px and "
            f"polygons.min_area_px: a pixel has {area.mean_m2:.4g} m2 on average."
        )
    return area.mean_m2


def _class_ids(names: Sequence[str], legend: Legend, key: str) -> tuple[int, ...]:
    unknown = [name for name in names if name not in legend.names]
    if unknown:
        raise SettingsError(
            f"{key}: {shown(unknown)} are not classes of the model. Use its classes: {', '.join(legend.names)}."
        )
    return tuple(sorted({legend.names.index(name) for name in names}))
