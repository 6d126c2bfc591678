"""Select the bands of a scene for the model, and the rules for valid pixels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from geoseg.config import SceneSettings
from geoseg.errors import SceneError
from geoseg.grid.window import Window
from geoseg.raster.band_names import absent_names, bands_named
from geoseg.raster.source.georeference import IDENTITY
from geoseg.raster.source.scene import Scene
from geoseg.raster.validity.area import Area
from geoseg.raster.validity.collar import Collar
from geoseg.raster.validity.quality import Quality
from geoseg.raster.validity.quality_file import split_band
from geoseg.redact import redact

NodataRule = Literal["any", "all"]
OnReadError = Literal["fail", "nodata"]

EXACT_INTEGERS = 1 << 24
"""Largest integer up to which float32, the type of every model's input, represents all integers."""
CLAIMED_ALPHA = "is tagged alpha but feeds the model, so it is not used as a mask."


@dataclass(frozen=True, slots=True)
class BandSelection:
    """How a run reads a scene. Built by `select_bands`."""

    bands: tuple[int, ...]
    """Bands counted from 1, in the order of the model's input; repetition is allowed."""
    mask_band: int | None = None
    """Band that is 0 where the scene is not valid: from the settings, or an alpha band."""
    nodata_rule: NodataRule = "any"
    """Whether a pixel is invalid if ``any`` of its bands is nodata, or if ``all`` bands with a nodata value are."""
    apply_scale: bool = False
    """Convert stored values to physical values by the scale and offset that the file declares."""
    on_read_error: OnReadError = "fail"
    """Whether undecodable pixels fail the scene or are nodata, see `geoseg.raster.decode_errors`."""
    area: Area | None = None
    """Pixels that get a class; None for all. It changes no pixel that is read."""
    quality: Quality | None = None
    """Band that rules out clouds and the like."""
    collar: Collar | None = None
    """Pixels around the picture that are ruled out."""

    def bounds(self, scene: Scene) -> Window:
        """The smallest window with all pixels that get a class, if the whole scene is valid."""
        return scene.grid.window if self.area is None or self.area.bounds is None else self.area.bounds

    def dtype(self, scene: Scene) -> np.dtype[Any]:
        """Data type of the pixels that are read: the smallest that holds all bands, at least float32 when scaled."""
        stored = np.result_type(*(scene.dtypes[band - 1] for band in self.bands))
        return np.result_type(stored, np.float32) if self.apply_scale and is_scaled(scene, self.bands) else stored


def select_bands(
    scene: Scene, wanted: int, settings: SceneSettings = SceneSettings(), names: Sequence[str] = ()
) -> BandSelection:
    """Select the bands of a scene for a model; never guess if there are more than it takes.

    An alpha band is the mask unless it is an input: NAIP's near infrared is often tagged alpha.

    Args:
        scene: The scene.
        wanted: Number of bands of the model's input.
        settings: The bands to use and the rules. ``bands: auto`` means the first ``wanted``, if only an alpha or mask
            band remains.
        names: The model's names of its bands, for messages.

    Raises:
        SceneError: If there are too few bands, a band does not exist, the choice is ambiguous, or the scene holds
            palette indices or single bits and the model takes several bands.
    """
    bands, mask_band = settings.bands, settings.mask_band
    has = f"{scene.path} has {scene.bands}"
    wants = f"The model wants {wanted} band{'s' if wanted > 1 else ''}" + (f" ({', '.join(names)})" if names else "")
    if wanted > 1 and ("palette" in scene.roles or scene.one_bit):
        held = "single bits" if scene.one_bit else "indices of a palette"
        remedy = "Expand" if scene.one_bit else "Set scene.expand_palette, or expand"
        raise SceneError(
            f"{wants}; {scene.path} holds {held}, which are not intensities. "
            f"{remedy} it first: gdal_translate -expand rgb IN OUT."
        )
    if scene.palette is not None and mask_band is not None:
        raise SceneError(
            f"scene.mask_band={mask_band} with scene.expand_palette: {scene.path} has one band, of palette indices. "
            "Leave scene.mask_band out; transparent colours are not valid anyway."
        )
    chosen = tuple(range(1, wanted + 1) if bands == "auto" else bands)
    if len(chosen) != wanted:
        raise SceneError(f"{wants}, scene.bands names {len(chosen)}: {list(chosen)}. Name as many as the model wants.")
    if bands == "auto" and scene.bands < wanted:
        absent = absent_names(scene, names)
        none = f": none is named {' or '.join(absent)}" if absent else ""
        raise SceneError(
            f"{wants}, {has}{none}. Add what is missing to the file (gdalbuildvrt -separate OUT.vrt FILE ...), or use "
            f"a model for {scene.bands}; scene.bands only chooses among those that are there."
        )
    for band in (*chosen, *((mask_band,) if mask_band is not None else ())):
        if not 1 <= band <= scene.bands:
            raise SceneError(f"Band {band} does not exist: {has}, counted from 1. Correct scene.bands.")
    if mask_band in chosen:
        raise SceneError(
            f"Band {mask_band} of {scene.path} cannot be both input and mask. Correct scene.bands or scene.mask_band."
        )
    quality_band = _quality_band(scene, settings, chosen)
    used = {mask_band, scene.alpha_band, quality_band}
    if bands == "auto" and (unused := set(range(wanted + 1, scene.bands + 1)) - used):
        raise SceneError(f"{wants}, {has}: {_advise(scene, chosen, names, unused)}")
    if mask_band is None and scene.alpha_band not in chosen:
        mask_band = scene.alpha_band
    return BandSelection(chosen, mask_band, settings.nodata_rule, settings.apply_scale, settings.on_read_error)


def _quality_band(scene: Scene, settings: SceneSettings, chosen: Sequence[int]) -> int | None:
    """The band of the scene that is its quality band, if it is one."""
    name = None if settings.quality is None else settings.quality.file
    file, band = ("", None) if name is None else split_band(name)
    if not file and band in chosen:
        raise SceneError(
            f"Band {band} of {scene.path} cannot be both input and quality band. Correct scene.bands or "
            "scene.quality.file."
        )
    return None if file else band


def merge_alpha_warnings(warnings: Sequence[str]) -> list[str]:
    """Merge the warnings that a band tagged alpha is an input into one for all scenes of a run."""
    bands: dict[str, list[str]] = {}
    for text in warnings:
        if text.endswith(CLAIMED_ALPHA):
            path, _, band = text.removesuffix(CLAIMED_ALPHA).rpartition(": ")
            bands.setdefault(band, []).append(path)
    merged = []
    for band, (path, *more) in bands.items():
        others = f" and {len(more)} more scene{'s' if len(more) > 1 else ''}" if more else ""
        merged.append(f"{path}{others}: {band}{CLAIMED_ALPHA}")
    return [*(text for text in warnings if not text.endswith(CLAIMED_ALPHA)), *merged]


def usable_nodata(scene: Scene, band: int) -> float | None:
    """Nodata value of a band; None if there is none or the band's data type cannot represent it."""
    value, dtype = scene.nodata[band - 1], np.dtype(scene.dtypes[band - 1])
    if value is None or dtype.kind == "f":
        return value
    limits = np.iinfo(dtype)
    return value if limits.min <= value <= limits.max and value == int(value) else None


def is_scaled(scene: Scene, bands: Sequence[int]) -> bool:
    """Return whether the file declares a scale or an offset for any of the bands."""
    return any((scene.scales[band - 1], scene.offsets[band - 1]) != (1.0, 0.0) for band in bands)


def describe_warnings(scene: Scene, selection: BandSelection) -> list[str]:
    """List warnings about a scene and its bands; empty if there are none."""
    return [
        redact(f"{scene.path}: {text}")
        for text in (*_validity_warnings(scene, selection), *_meaning_warnings(scene, selection))
    ]


def _validity_warnings(scene: Scene, selection: BandSelection) -> Iterator[str]:
    declared = [scene.nodata[band - 1] for band in selection.bands]
    usable = [usable_nodata(scene, band) for band in selection.bands]
    for band, value, used in zip(selection.bands, declared, usable, strict=True):
        if value is not None and used is None:
            yield f"nodata {value:g} of band {band} does not fit {scene.dtypes[band - 1]} and is ignored."
    if len({str(value) for value in usable}) > 1:
        yield (
            f"nodata differs among bands {list(selection.bands)}: {usable}. A pixel is invalid where "
            f"{selection.nodata_rule} of them {'is' if selection.nodata_rule == 'any' else 'are'} nodata."
        )
    if scene.alpha_band in selection.bands:
        yield f"band {scene.alpha_band} {CLAIMED_ALPHA}"
    unmasked = all(value is None for value in usable) and selection.mask_band is None and not scene.has_mask
    if unmasked and scene.driver == "VRT":
        yield "this VRT declares no nodata: what none of its sources covers reads as 0 and counts as data."
    if unmasked and scene.absent_blocks:
        yield (
            f"{scene.absent_blocks} internal tiles are not stored, no nodata is declared, so they count as 0. Unless "
            "the file is sparse on purpose it is damaged: fetch it again."
        )


def _meaning_warnings(scene: Scene, selection: BandSelection) -> Iterator[str]:
    if any(np.dtype(scene.dtypes[band - 1]).str[1:] in ("i4", "u4", "i8", "u8", "f8") for band in selection.bands):
        yield f"values are handed to the model as float32: integers above {EXACT_INTEGERS} are rounded."
    if is_scaled(scene, selection.bands):
        each = ", ".join(f"x {scene.scales[b - 1]:g} + {scene.offsets[b - 1]:g}" for b in selection.bands)
        if selection.apply_scale:
            yield f"stored numbers are scaled as the file declares, by band: {each}."
        else:
            yield (
                f"the file declares that stored numbers x stand for {each} (by band); the model gets them as they are "
                "stored. Set scene.apply_scale if it wants the others."
            )
    if scene.grid.transform == IDENTITY:
        yield "it has no transform: pixel (0, 0) is taken to lie at the origin of its coordinates."


def _advise(scene: Scene, first: Sequence[int], names: Sequence[str], unused: set[int]) -> str:
    """List all bands of a scene and advise a value of scene.bands: those with the model's names, if all exist."""
    listed = ", ".join(_label(scene, band) for band in range(1, scene.bands + 1))
    if fitting := bands_named(scene, names) if names else None:
        return f"{listed}. By their names: --set scene.bands={_joined(fitting)}."
    absent = absent_names(scene, names)
    none = f"None is named {' or '.join(absent)}. " if absent else ""
    mask = "" if len(unused) > 1 else f"; if band {min(unused)} is a mask, name it in scene.mask_band"
    such = "" if absent else f", such as --set scene.bands={_joined(first)}"
    return f"{listed}. {none}Name the {len(first)} to use in scene.bands, in the model's order{such}{mask}."


def _joined(bands: Sequence[int]) -> str:
    return ",".join(map(str, bands))


def _label(scene: Scene, band: int) -> str:
    return f"{band} {scene.descriptions[band - 1] or scene.roles[band - 1]}"
