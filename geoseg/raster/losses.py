"""Count the causes of invalid pixels, in windows with few valid ones."""

from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from geoseg.raster.bands import BandSelection
from geoseg.raster.source.scene import Scene

COUNTED_BELOW = 0.1
"""Windows with a larger share of valid pixels are not counted: a scene that loses 99 % has few of them."""
PIXELS, DATA, BY_RULE, NOT_FINITE, ABSENT = "pixels", "data", "by rule", "not finite", "absent"
QUALITY, COLLAR = "quality", "collar"
"""Counted pixels; pixels that are not nodata in all bands; pixels lost because only some bands are nodata and no mask
excludes them; pixels with NaN or infinity; pixels in internal tiles that are not stored or cannot be decoded."""
MAX_BY_RULE = 0.99
"""If single bands that are nodata void a larger share of the pixels with data, the setting is probably wrong."""

Losses = Mapping[str, int]
"""Pixels by cause: the keys above and, of the pixels with data, ``band 3`` for those where that band is nodata,
``mask band 4``, ``mask``, `QUALITY` and `COLLAR`. A pixel can count for several causes."""


def count_losses(
    valid: NDArray[np.bool_],
    nodata: Mapping[str, Callable[[], NDArray[np.bool_]]],
    masks: Mapping[str, NDArray[np.bool_]],
) -> Counter[str]:
    """Count the causes of invalid pixels, unless the share of valid ones is above `COUNTED_BELOW`.

    Args:
        valid: Shape (H, W).
        nodata: By band name, functions that return True where the band is nodata, shape (H, W). They are functions so
            that only one array exists at a time.
        masks: By name, True where the mask declares a pixel valid, shape (H, W).
    """
    if np.count_nonzero(valid) >= COUNTED_BELOW * valid.size:
        return Counter()
    some, every = np.zeros(valid.shape, np.bool_), np.full(valid.shape, bool(nodata))
    for hits in nodata.values():
        is_nodata = hits()
        some |= is_nodata
        every &= is_nodata
    data = ~every
    losses = Counter({PIXELS: valid.size, DATA: int(np.count_nonzero(data))})
    for name, hits in nodata.items():
        losses[name] = int(np.count_nonzero(hits() & data))
    unmasked = some & data
    for name, mask in masks.items():
        losses[name] = int(np.count_nonzero(data & ~mask))
        unmasked &= mask
    losses[BY_RULE] = int(np.count_nonzero(unmasked))
    return losses


def describe_losses(scene: Scene, selection: BandSelection, losses: Losses) -> str:
    """List the bands and masks that void pixels with counts, largest first; empty if nothing was counted."""
    pixels = losses.get(PIXELS, 0)
    if not pixels:
        return ""
    absent = losses.get(ABSENT, 0)
    values = sorted({f"{value:g}" for band in selection.bands if (value := scene.nodata[band - 1]) is not None})
    bands = "all bands are" if len(selection.bands) > 1 else "the band is"
    causes = [
        (pixels - losses.get(DATA, 0) - absent, f"{bands} nodata ({', '.join(values)})"),
        (absent, "nothing is stored or can be decoded"),
        (losses.get(NOT_FINITE, 0), "a value is NaN or infinite"),
    ]
    for name, count in losses.items():
        if name.startswith("band "):
            causes.append((count, f"{name} is nodata ({scene.nodata[int(name[5:]) - 1]:g})"))
        elif "mask" in name:
            causes.append((count, f"the {name} is 0"))
        elif name in (QUALITY, COLLAR):
            causes.append((count, f"scene.{name} rules out what is there"))
    return ", ".join(
        f"{text} in {'all' if count == pixels else f'{count:,} of'} {pixels:,} pixels"
        for count, text in sorted(causes, key=lambda cause: -cause[0])
        if count
    )


def nodata_rule_warning(selection: BandSelection, losses: Losses, valid_pixels: int) -> str:
    """A warning if single bands void nearly all pixels with data under ``nodata_rule=any``, else empty.

    Args:
        selection: How the scene is read.
        losses: Sum over all windows.
        valid_pixels: Sum over all windows.
    """
    lost = losses.get(BY_RULE, 0)
    if selection.nodata_rule != "any" or lost <= MAX_BY_RULE * (lost + valid_pixels):
        return ""
    return (
        f"of {lost + valid_pixels:,} pixels with data {lost:,} are lost, since scene.nodata_rule=any voids a pixel as "
        "soon as one band is nodata"
    )


def describe_remedies(selection: BandSelection, losses: Losses) -> str:
    """List settings to change if no pixel is valid."""
    texts = []
    if selection.nodata_rule == "any" and losses.get(BY_RULE, 0):
        texts.append("scene.nodata_rule=all if a pixel counts where some bands hold data")
    if any(count and name.startswith("band ") for name, count in losses.items()):
        texts.append("scene.bands without that band")
    if any(count and name.startswith("mask band ") for name, count in losses.items()):
        texts.append("scene.mask_band to the right band")
    if losses.get(QUALITY, 0):
        texts.append("scene.quality to the values of pixels that are not valid, if these are")
    if losses.get(COLLAR, 0):
        texts.append("scene.collar to none")
    if losses.get(DATA, 0) < losses.get(PIXELS, 0) - losses.get(ABSENT, 0):
        texts.append("scene.nodata to the true value, if that is none")
    return ", or ".join([*texts, "scene.allow_empty to publish an empty class map"])
