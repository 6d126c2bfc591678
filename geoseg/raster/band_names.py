"""What bands are called: whether two names mean the same band, and which bands of a scene a model's names mean."""

import re
from collections.abc import Sequence

from geoseg.errors import SceneError
from geoseg.raster.source.scene import Scene

COLOUR_ROLES = {"red", "green", "blue", "coastal", "rededge", "nir"}
"""Colour interpretations that name a band; others, such as gray, come from software that had none to give."""
_COMMON_NAMES = {
    "b1": "coastal", "b2": "blue", "b3": "green", "b4": "red", "b5": "rededge071", "b6": "rededge075",
    "b7": "rededge078", "b8": "nir", "b8a": "nir08", "b9": "nir09", "b10": "cirrus", "b11": "swir16", "b12": "swir22",
    "nearinfrared": "nir", "rededge": "rededge071", "rededge1": "rededge071", "rededge2": "rededge075",
    "rededge3": "rededge078", "swir1": "swir16", "swir2": "swir22",
}  # fmt: skip
"""Sentinel-2's names, and older common names, as STAC's common names. Landsat 8 calls blue, green and red alike."""


def bands_named(scene: Scene, names: Sequence[str]) -> list[int] | None:
    """The bands of a scene that bear a model's names, in its order, from 1; None if one is absent or there are two.

    Case, signs and zeros before a number do not matter, and B2 is blue.
    """
    found = [_find(scene, name) for name in names]
    known = [band for band in found if band is not None]
    return known if len(known) == len(names) else None


def absent_names(scene: Scene, names: Sequence[str]) -> list[str]:
    """The model's names that no band of a scene bears; empty if none of them means anything to the scene."""
    absent = [name for name in names if _find(scene, name) is None]
    return absent if len(absent) < len(names) else []


def judge_names(scene: Scene, bands: Sequence[int], names: Sequence[str], model: str, *, strict: bool) -> list[str]:
    """Compare the names of the bands that feed a model with those that it gives them.

    Args:
        scene: The scene. Its bands are called by their descriptions, else by their colour interpretation.
        bands: The bands that feed the model, from 1.
        names: What the model calls them.
        model: The model's own name.
        strict: A band with another name, or without one, is an error.

    Returns:
        A warning if a band bears another name. Colour interpretations alone give one only if each colour is one that
        the model wants: a false-colour composite is often tagged red, green, blue.

    Raises:
        SceneError: If ``strict`` and the names differ.
    """
    called = [name_of(scene, band) for band in bands]
    wanted = {_canonical(name) for name in names}
    colours = [scene.roles[band - 1] for band in bands if _is_colour(scene, band)]
    trusted = strict or all(colour in wanted for colour in colours)
    differ = [
        f"band {band} is {_quoted(scene, band)}, not {name}"
        for band, own, name in zip(bands, called, names, strict=True)
        if (own or strict)
        and (trusted or not _is_colour(scene, band))
        and (own is None or _canonical(own) != _canonical(name))
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
    """What a scene calls a band: its description, else its colour interpretation if that is a colour."""
    role = scene.roles[band - 1]
    return scene.descriptions[band - 1] or (role if role in COLOUR_ROLES else None)


def _find(scene: Scene, name: str) -> int | None:
    called = [name_of(scene, band) for band in range(1, scene.bands + 1)]
    for simplify in (_plain, _canonical):  # what is spelled alike goes before what means the same
        bands = [band for band, own in enumerate(called, 1) if own is not None and simplify(own) == simplify(name)]
        if bands:
            return bands[0] if len(bands) == 1 else None
    return None


def _is_colour(scene: Scene, band: int) -> bool:
    """Tell whether a band has no name but its colour interpretation."""
    return not scene.descriptions[band - 1] and scene.roles[band - 1] in COLOUR_ROLES


def _quoted(scene: Scene, band: int) -> str:
    name = name_of(scene, band)
    return "unnamed" if name is None else f"{name} (colour interpretation)" if _is_colour(scene, band) else name


def _plain(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())


def _canonical(name: str) -> str:
    plain = re.sub(r"^b0+(?=\d)", "b", _plain(name))
    return _COMMON_NAMES.get(plain, plain)
