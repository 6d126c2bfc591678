"""Convert the polygon settings to a scene's own pixels and class ids."""

import math
from collections.abc import Mapping, Sequence

from pyproj import CRS

from geoseg.config import PolygonSettings
from geoseg.errors import SettingsError
from geoseg.explain import shown
from geoseg.grid.legend import NODATA_CLASS, Legend
from geoseg.plan.polygon_plan import PolygonPlan
from geoseg.publish.geodesy.pixel_area import pixel_area
from geoseg.raster.source.scene import Scene
from geoseg.vector.lines.simplify import MAX_SIMPLIFY_PX
from geoseg.vector.smallest import LeastPixels, Smallest


def plan_polygons(settings: PolygonSettings, legend: Legend, scene: Scene) -> PolygonPlan:
    """Convert metres to pixels and class names to class ids.

    Raises:
        SettingsError: If a class is unknown, or metres cannot be converted in the scene's CRS.
    """
    simplify_px = settings.simplify_px
    if settings.simplify_m is not None:
        simplify_px = settings.simplify_m / math.sqrt(_pixel_m2(scene))
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
    smallest = Smallest(
        _least_pixels("min_area", settings.min_area_px, settings.min_area_m2, legend, scene),
        _least_pixels("fill_holes", settings.fill_holes_px, settings.fill_holes_m2, legend, scene),
        not_dissolved,
    )
    return PolygonPlan(settings.crs, simplify_px, smallest, published, not_dissolved, settings.max_count)


def _least_pixels(
    key: str, in_px: int | Mapping[str, int], in_m2: float | Mapping[str, float] | None, legend: Legend, scene: Scene
) -> LeastPixels:
    """Smallest numbers of pixels, of all classes or by class; square metres are rounded up."""
    unit, given = ("px", in_px) if in_m2 is None else ("m2", in_m2)
    pixel = 1.0 if in_m2 is None else _pixel_m2(scene)
    if not isinstance(given, Mapping):
        return LeastPixels.of(math.ceil(given / pixel))
    # Each name by itself, so that a wrong one is refused even without an effect.
    ids = {name: _class_ids([name], legend, f"polygons.{key}_{unit}")[0] for name in given}
    return LeastPixels.of({ids[name]: math.ceil(number / pixel) for name, number in given.items()})


def _pixel_m2(scene: Scene) -> float:
    if not scene.grid.crs:
        raise SettingsError(
            f"polygons.simplify_m, min_area_m2 and fill_holes_m2 need a CRS; {scene.path} has none. Use "
            "polygons.simplify_px, min_area_px and fill_holes_px."
        )
    area = pixel_area(scene.grid)
    if area.method != "planar":
        raise SettingsError(
            "polygons.simplify_m, min_area_m2 and fill_holes_m2 need a CRS whose areas are those on the ground, to "
            f"1 %; that of {scene.path} is {CRS.from_wkt(scene.grid.crs).name}. Use polygons.simplify_px, min_area_px "
            f"and fill_holes_px: a pixel has {area.mean_m2:.4g} m2 on average."
        )
    return area.mean_m2


def _class_ids(names: Sequence[str], legend: Legend, key: str) -> tuple[int, ...]:
    unknown = [name for name in names if name not in legend.names]
    if unknown:
        raise SettingsError(
            f"{key}: {shown(unknown)} are not classes of the model. Use its classes: {', '.join(legend.names)}."
        )
    return tuple(sorted({legend.names.index(name) for name in names}))
