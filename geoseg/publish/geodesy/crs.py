"""The CRS of a dataset, and transformations between CRSs."""

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence

from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError, ProjError
from pyproj.network import set_network_enabled  # type: ignore[attr-defined]
from pyproj.transformer import TransformerGroup

from geoseg.errors import SceneError, SettingsError
from geoseg.raster.source.scene import Scene

NATIVE = "native"
"""``polygons.crs`` of polygons that keep the CRS of their scene."""
EARTH_RADIUS_M = 6_378_137


def find_crs_conflicts(published: Mapping[str, str], scenes: Sequence[Scene], setting: str) -> dict[str, str]:
    """Find the scenes whose CRS differs from the CRS of the output: all polygons of an output share one CRS.

    The CRS of an output is that of the scenes it contains. For an empty output it is the CRS of most of the new scenes,
    on ties that of the first scene.

    Args:
        published: CRS of each scene that stays in the output, as WKT.
        scenes: The scenes to be added; those without a CRS get no polygons.
        setting: ``native`` or ``EPSG:nnnn``.

    Returns:
        Reason and remedy by the path of each conflicting scene.

    Raises:
        SettingsError: If no scene can be added with these settings.
    """
    held = _group(published.items())
    if len(held) > 1:
        (first, a), (second, b) = held[:2]
        raise SettingsError(
            f"The polygons of one output must share a CRS, and this one holds scene {a[0]} in {_name(first)} and scene "
            f"{b[0]} in {_name(second)}. Give --output another folder."
        )
    if setting != NATIVE:
        _check_setting(named_crs(setting), setting, held)
        return {}
    groups = _group((scene.path, scene.grid.crs) for scene in scenes if scene.grid.crs)
    if held:
        kept, names = held[0]
        whose = f"the output holds scene {names[0]} in {_name(kept)}"
    elif groups:
        kept, names = max(groups, key=lambda group: len(group[1]))
        whose = f"{names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''} of this run lie in {_name(kept)}"
    return {
        path: f"{path} lies in {_name(crs)}, but {whose}, and the polygons of one output must share a CRS. "
        f"{_remedy(crs, kept)}"
        for crs, paths in groups
        if not _same(crs, kept)
        for path in paths
    }


def _check_setting(wanted: CRS, setting: str, held: Sequence[tuple[CRS, list[str]]]) -> None:
    for crs, names in held:
        if not _same(crs, wanted):
            code, others = _code(crs), f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise SettingsError(
                f"polygons.crs={setting}, but the output holds scene {names[0]}{others} in {_name(crs)}, and its "
                f"polygons must share a CRS. {f'Set polygons.crs={code}, or give' if code else 'Give'} the scenes that "
                "it holds as well, with --overwrite, or give another --output."
            )


def _remedy(crs: CRS, kept: CRS) -> str:
    ways = []
    if _is_on_earth(crs) and _is_on_earth(kept):
        code = _code(kept)
        ways += [f"Give it alone with polygons.crs={code}"] if code else []
        ways += [f"{'g' if code else 'G'}ive all scenes of the output with polygons.crs=EPSG:4326 and --overwrite"]
    return ", ".join([*ways, f"{'or give' if ways else 'Give'} it an --output of its own."])


def _group(items: Iterable[tuple[str, str]]) -> list[tuple[CRS, list[str]]]:
    """Group names by CRS, given as WKT. Equal texts are parsed once: there may be thousands."""
    by_text: dict[str, list[str]] = {}
    for name, wkt in items:
        by_text.setdefault(wkt, []).append(name)
    groups: list[tuple[CRS, list[str]]] = []
    for wkt, names in by_text.items():
        crs = CRS.from_user_input(wkt)
        same = next((group for group in groups if _same(group[0], crs)), None)
        if same is None:
            groups.append((crs, list(names)))
        else:
            same[1].extend(names)
    return groups


def _same(one: CRS, other: CRS) -> bool:
    return bool(one.equals(other, ignore_axis_order=True))


def _code(crs: CRS) -> str | None:
    """``EPSG:nnnn``, as in ``polygons.crs``; None if it has no EPSG code."""
    authority = crs.to_authority()
    return ":".join(authority) if authority and authority[0] == "EPSG" else None


def _is_on_earth(crs: CRS) -> bool:
    return crs.ellipsoid is not None and abs(crs.ellipsoid.semi_major_metre / EARTH_RADIUS_M - 1) < 0.01


def named_crs(setting: str) -> CRS:
    """The CRS of the setting ``polygons.crs``, e.g. ``EPSG:4326``.

    Raises:
        SettingsError: If it is not in PROJ's database.
    """
    try:
        return CRS.from_user_input(setting)
    except CRSError as error:
        raise SettingsError(f"polygons.crs={setting} is not in PROJ's database. Use an EPSG code that is.") from error


def transformer(source: CRS, target: CRS) -> Transformer:
    """Transformation between CRSs, always x before y, with the installed grids.

    GeoParquet requires longitude before latitude also for EPSG:4326. PROJ's network is disabled, because positions
    would depend on it.

    Raises:
        SceneError: If PROJ has none, e.g. from one planet to another.
    """
    set_network_enabled(active=False)
    try:
        return Transformer.from_crs(source, target, always_xy=True)
    except ProjError as error:
        bodies = re.search(r"celestial body \((.+) vs (.+?)\)", str(error))
        reason = f"one is of {bodies[1]}, the other of {bodies[2]}" if bodies else str(error)
        raise SceneError(
            f"PROJ has no transformation from the CRS {_name(source)} to {_name(target)}: {reason}. "
            "Use polygons.crs=native."
        ) from error


def missing_grids(source: CRS, target: CRS) -> list[str]:
    """Names of the grids that the best transformation needs and that are not installed."""
    set_network_enabled(active=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # warns that the best transformation is not available
        group = TransformerGroup(source, target, always_xy=True)
    if group.best_available or not group.unavailable_operations:
        return []
    return sorted({grid.short_name for grid in group.unavailable_operations[0].grids if not grid.available})


def _name(crs: CRS) -> str:
    authority = crs.to_authority()
    return f"{crs.name} ({':'.join(authority)})" if authority else crs.name
