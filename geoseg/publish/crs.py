"""One dataset, one CRS; and how positions get there."""

import re
import warnings
from collections.abc import Mapping, Sequence

from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError, ProjError
from pyproj.network import set_network_enabled  # type: ignore[attr-defined]
from pyproj.transformer import TransformerGroup

from geoseg.errors import SceneError, SettingsError
from geoseg.raster.scene import Scene


def check_one_crs(published: Mapping[str, str], scenes: Sequence[Scene], setting: str) -> None:
    """Make sure that all polygons of a dataset, old and new, share a CRS.

    Args:
        published: CRS of each scene that stays in the output, as WKT.
        scenes: The scenes to be added; those without a CRS get no polygons.
        setting: ``native`` or ``EPSG:nnnn``.

    Raises:
        SettingsError: Names both CRSs and where they come from.
    """
    found = [(CRS.from_user_input(wkt), f"scene {scene_id} of the output") for scene_id, wkt in published.items()]
    if setting == "native":
        found += [(CRS.from_user_input(scene.grid.crs), scene.path) for scene in scenes if scene.grid.crs]
    else:
        found.append((named_crs(setting), f"polygons.crs={setting}"))
    for crs, source in found[1:]:
        first, first_source = found[0]
        if not crs.equals(first, ignore_axis_order=True):
            raise SettingsError(
                f"The polygons of one output must share a CRS: {first_source} has {_name(first)}, {source} has "
                f"{_name(crs)}. Set polygons.crs to one EPSG code for all, or use an output for each."
            )


def named_crs(setting: str) -> CRS:
    """The CRS that ``polygons.crs`` names, such as ``EPSG:4326``.

    Raises:
        SettingsError: If PROJ does not know it.
    """
    try:
        return CRS.from_user_input(setting)
    except CRSError as error:
        raise SettingsError(f"polygons.crs={setting} is not in PROJ's database. Use an EPSG code that is.") from error


def transformer(source: CRS, target: CRS) -> Transformer:
    """The way from one CRS to another, x before y whatever order their axes have, by the grids that are installed.

    GeoParquet wants longitude before latitude also for EPSG:4326. PROJ may not fetch grids: positions would depend on
    the network.

    Raises:
        SceneError: If PROJ knows none, such as from one planet to another.
    """
    set_network_enabled(active=False)
    try:
        return Transformer.from_crs(source, target, always_xy=True)
    except ProjError as error:
        bodies = re.search(r"celestial body \((.+) vs (.+?)\)", str(error))
        reason = f"one is of {bodies[1]}, the other of {bodies[2]}" if bodies else str(error)
        raise SceneError(
            f"PROJ knows no way from the CRS {_name(source)} to {_name(target)}: {reason}. Use polygons.crs=native."
        ) from error


def missing_grids(source: CRS, target: CRS) -> list[str]:
    """Names of the grids that the best way from one CRS to another needs and PROJ does not have."""
    set_network_enabled(active=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that the best way is not available, which is the question
        group = TransformerGroup(source, target, always_xy=True)
    if group.best_available or not group.unavailable_operations:
        return []
    return sorted({grid.short_name for grid in group.unavailable_operations[0].grids if not grid.available})


def _name(crs: CRS) -> str:
    authority = crs.to_authority()
    return f"{crs.name} ({':'.join(authority)})" if authority else crs.name
