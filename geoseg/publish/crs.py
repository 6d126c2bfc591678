"""One dataset, one CRS."""

from collections.abc import Mapping, Sequence

from pyproj import CRS
from pyproj.exceptions import CRSError

from geoseg.errors import SettingsError
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
        try:
            found.append((CRS.from_user_input(setting), f"polygons.crs={setting}"))
        except CRSError as error:
            raise SettingsError(
                f"polygons.crs={setting} is not in PROJ's database. Use an EPSG code that is."
            ) from error
    for crs, source in found[1:]:
        first, first_source = found[0]
        if not crs.equals(first, ignore_axis_order=True):
            raise SettingsError(
                f"The polygons of one output must share a CRS: {first_source} has {_name(first)}, {source} has "
                f"{_name(crs)}. Set polygons.crs to one EPSG code for all, or use an output for each."
            )


def _name(crs: CRS) -> str:
    authority = crs.to_authority()
    return f"{crs.name} ({':'.join(authority)})" if authority else crs.name
