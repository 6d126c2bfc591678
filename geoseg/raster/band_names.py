"""Band names: whether two names mean the same band, and which bands of a scene match a model's names."""

import re
from collections.abc import Sequence

from geoseg.errors import SceneError
from geoseg.raster.source.scene import Scene

COLOUR_ROLES = {"red", "green", "blue", "coastal", "rededge", "nir"}
"""Colour interpretations that name a band; others, such as gray, are defaults of the software that wrote the file."""
_COMMON_NAMES = {
    "b1": "coastal", "b2": "blue", "b3": "green", "b4": "red", "b5": "rededge071", "b6": "rededge075",
    "b7": "rededge078", "b8": "nir", "b8a": "nir08", "b9": "nir09", "b10": "cirrus", "b11": "swir16", "b12": "swir22",
    "nearinfrared": "nir", "rededge": "rededge071", "rededge1": "rededge071", "rededge2": "rededge075",
    "rededge3": "rededge078", "swir1": "swir16", "swir2": "swir22",
}  # fmt: skip
"""Sentinel-2's and older common names to STAC's common names. Landsat 8 has the same names of blue, green and red."""


def bands_named(scene: Scene, names: Sequence[str]) -> list[int] | None:
    """Find the bands of a scene with a model's names, in the model's order, from 1; None if one is absent or ambiguous.

    Case, punctuation and leading zeros are ignored, and B2 equals blue.
    """
    matches = [_find(scene, name) for name in names]
    bands = [band for band in matches if band is not None]
    return bands if len(bands) == len(names) else None


def absent_names(scene: Scene, names: Sequence[str]) -> list[str]:
    """List the model's names that no band of a scene has; empty if the scene has none of them."""
    absent = [name for name in names if _find(scene, name) is None]
    return absent if len(absent) < len(names) else []


def check_band_names(
    scene: Scene, bands: Sequence[int], names: Sequence[str], model: str, *, strict: bool
) -> list[str]:
    """Compare the names of the bands that feed a model with those that it gives them.

    Args:
        scene: The scene. The name of a band is its description, else its colour interpretation.
        bands: The bands that feed the model, from 1.
        names: The model's names of these bands.
        model: The model's own name.
        strict: Raise if a band has another name or none.

    Returns:
        A warning if a band has another name. Colour interpretations count only if the model has a band of each of these
        colours: a false-colour composite is often tagged red, green, blue.

    Raises:
        SceneError: If ``strict`` and the names differ.
    """
    called = [name_of(scene, band) for band in bands]
    wanted = {canonical(name) for name in names}
    colours = [scene.roles[band - 1] for band in bands if _is_colour(scene, band)]
    trusted = strict or all(colour in wanted for colour in colours)
    differ = [
        f"band {band} is {_quoted(scene, band)}, not {name}"
        for band, own, name in zip(bands, called, names, strict=True)
        if (own or strict)
        and (trusted or not _is_colour(scene, band))
        and (own is None or canonical(own) != canonical(name))
    ]
    if not differ:
        return []
    text = f"{scene.path}: the scene and {model} name the bands differently: {'; '.join(differ)}."
    fitting = bands_named(scene, names)
    remedy = (
        f"Set scene.bands={','.join(map(str, fitting))}" if fitting and fitting != list(bands) else "Set scene.bands"
    )
    if strict:
        to = "" if fitting else " to the model's order"
        raise SceneError(f"{text} {remedy}{to}, or leave out scene.strict_bands.")
    return [f"{text} {remedy} if {'the names are right' if fitting else 'the order is wrong'}."]


def name_of(scene: Scene, band: int) -> str | None:
    """Name of a band: its description, else its colour interpretation if that is a colour."""
    role = scene.roles[band - 1]
    return scene.descriptions[band - 1] or (role if role in COLOUR_ROLES else None)


def find_colours(names: Sequence[str]) -> tuple[int, int, int] | None:
    """Places of red, green and blue among a model's names of its bands; None if one is absent."""
    called = [canonical(name) for name in names]
    red, green, blue = (called.index(colour) if colour in called else None for colour in ("red", "green", "blue"))
    return None if red is None or green is None or blue is None else (red, green, blue)


def _find(scene: Scene, name: str) -> int | None:
    called = [name_of(scene, band) for band in range(1, scene.bands + 1)]
    for simplify in (plain, canonical):  # an equal spelling has priority over a synonym
        bands = [band for band, own in enumerate(called, 1) if own is not None and simplify(own) == simplify(name)]
        if bands:
            return bands[0] if len(bands) == 1 else None
    return None


def _is_colour(scene: Scene, band: int) -> bool:
    """Return whether the only name of a band is its colour interpretation."""
    return not scene.descriptions[band - 1] and scene.roles[band - 1] in COLOUR_ROLES


def _quoted(scene: Scene, band: int) -> str:
    name = name_of(scene, band)
    return "unnamed" if name is None else f"{name} (colour interpretation)" if _is_colour(scene, band) else name


def plain(name: str) -> str:
    """A name without case and punctuation."""
    return "".join(character for character in name.casefold() if character.isalnum())


def canonical(name: str) -> str:
    """A name as STAC's common name if it is a synonym of one, else as `plain`; without leading zeros."""
    short = re.sub(r"^b0+(?=\d)", "b", plain(name))
    return _COMMON_NAMES.get(short, short)
