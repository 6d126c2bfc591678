"""Which polygons a scene gets: the settings in the scene's own pixels and class ids."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pyproj import CRS

from geoseg.config import PolygonSettings
from geoseg.errors import SceneError, SettingsError
from geoseg.explain import shown
from geoseg.grid.legend import NODATA_CLASS, Legend
from geoseg.publish.geodesy.pixel_area import pixel_area
from geoseg.raster.source.scene import Scene
from geoseg.vector.simplify import MAX_TOLERANCE_PX

MAX_BLOCK_COUNT = 2_000_000
"""Regions of a block are traced together, at up to a kilobyte each."""


@dataclass(frozen=True, slots=True)
class PolygonPlan:
    """What is published as polygons, in the scene's own pixels."""

    crs: str
    """``native`` or ``EPSG:nnnn``."""
    simplify_px: float
    """See `geoseg.vector.simplify.simplify_arcs`; 0 keeps every corner."""
    min_area_px: int
    """Components of fewer pixels take the class of a neighbour."""
    classes: tuple[int, ...] | None
    """Classes that are published; None for all."""
    undissolved: tuple[int, ...]
    """Classes whose polygons stay cut at the patch lattice."""
    max_count: int
    """More regions than this are noise, not land use."""

    @property
    def has_min_area(self) -> bool:
        """Tell whether small components take the class of a neighbour."""
        return self.min_area_px > 1

    def check_count(self, regions: int, path: str, *, block: bool = False) -> None:
        """Refuse a class map that is noise.

        Args:
            regions: Regions of one class found so far; what spans blocks counts once for each.
            path: The scene.
            block: These are the regions of a single block, which are in memory together.

        Raises:
            SceneError: If they are too many.
        """
        if block and regions > MAX_BLOCK_COUNT:
            raise SceneError(
                f"{path}: the class map has {regions} regions in one block, more than {MAX_BLOCK_COUNT}, which is "
                "noise rather than land use: check the model and geoseg:scaling. If it is meant, set tiling.block_px "
                "lower, and polygons.min_area_px (such as 9), so that the specks join their neighbours."
            )
        if regions <= self.max_count:
            return
        remedy = (
            "Cut the scene into smaller ones"
            if self.has_min_area
            else "Set polygons.min_area_px (such as 9): the specks then join their neighbours"
        )
        raise SceneError(
            f"{path}: the class map has more than polygons.max_count={self.max_count} regions, which is noise rather "
            f"than land use: check the model and geoseg:scaling first. {remedy}, or raise polygons.max_count if memory "
            "and disk suffice (about 500 bytes for each)."
        )


def plan_polygons(settings: PolygonSettings, legend: Legend, scene: Scene) -> PolygonPlan:
    """Turn metres into pixels and names into ids.

    Raises:
        SettingsError: If a class is unknown, or metres have no meaning in the scene's CRS.
    """
    simplify_px, min_area_px = settings.simplify_px, settings.min_area_px
    if settings.simplify_m is not None:
        simplify_px = settings.simplify_m / math.sqrt(_pixel_m2(scene))
    if settings.min_area_m2 is not None:
        min_area_px = math.ceil(settings.min_area_m2 / _pixel_m2(scene))
    if simplify_px > MAX_TOLERANCE_PX:
        raise SettingsError(
            f"polygons.simplify_m={settings.simplify_m} is {simplify_px:g} pixels of {scene.path}; at most "
            f"{MAX_TOLERANCE_PX:g} are possible. Set it lower."
        )
    undissolved = _class_ids(settings.not_dissolved, legend, "polygons.not_dissolved")
    if len(legend) + len(undissolved) > NODATA_CLASS:
        raise SettingsError(
            f"polygons.not_dissolved needs a free class id for each of its {len(undissolved)} classes, and the legend "
            f"holds {len(legend)} of {NODATA_CLASS}."
        )
    published = None if settings.classes == "all" else _class_ids(settings.classes, legend, "polygons.classes")
    return PolygonPlan(settings.crs, simplify_px, min_area_px, published, undissolved, settings.max_count)


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
