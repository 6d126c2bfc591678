"""Why pixels of a scene are not valid, counted by cause where hardly any is."""

from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from geoseg.raster.bands import BandSelection
from geoseg.raster.source.scene import Scene

COUNTED_BELOW = 0.1
"""Windows of which a larger share is valid are not counted: a scene that loses 99 % has hardly any of them."""
PIXELS, DATA, BY_RULE, NOT_FINITE, ABSENT = "pixels", "data", "by rule", "not finite", "absent"
"""Pixels that were counted; not nodata in all bands; lost as only some bands are nodata, while no mask voids them; lost
for NaN or infinity; in internal tiles that are not stored or cannot be decoded."""
MOST_BY_RULE = 0.99
"""A larger share of the pixels with data lost because single bands are nodata there is hardly what was meant."""

Losses = Mapping[str, int]
"""Pixels by cause: the words above, and of the pixels with data ``band 3`` for those where a band is nodata, and
``mask band 4`` and ``mask``. A pixel may count for several causes."""


def count_losses(
    valid: NDArray[np.bool_],
    nodata: Mapping[str, Callable[[], NDArray[np.bool_]]],
    masks: Mapping[str, NDArray[np.bool_]],
) -> Counter[str]:
    """Count why pixels are not valid, unless more than `COUNTED_BELOW` of them are.

    Args:
        valid: Shape (H, W).
        nodata: By name of a band, tells where it is nodata, shape (H, W): one at a time, for bands are large and many.
        masks: By name, True where a mask takes a pixel for valid, shape (H, W).
    """
    if np.count_nonzero(valid) >= COUNTED_BELOW * valid.size:
        return Counter()
    some, every = np.zeros(valid.shape, np.bool_), np.full(valid.shape, bool(nodata))
    for hits in nodata.values():
        found = hits()
        some |= found
        every &= found
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
    """Which bands or masks void pixels, and how many, the greatest first; nothing if nothing was counted."""
    pixels = losses.get(PIXELS, 0)
    if not pixels:
        return ""
    words = []
    if void := pixels - losses.get(DATA, 0) - losses.get(ABSENT, 0):
        values = sorted(
            {f"{scene.nodata[band - 1]:g}" for band in selection.bands if scene.nodata[band - 1] is not None}
        )
        words.append(
            (void, f"{'all bands are' if len(selection.bands) > 1 else 'the band is'} nodata ({', '.join(values)})")
        )
    if absent := losses.get(ABSENT, 0):
        words.append((absent, "nothing is stored or can be decoded"))
    if not_finite := losses.get(NOT_FINITE, 0):
        words.append((not_finite, "a value is NaN or infinite"))
    for name, count in losses.items():
        if count and name.startswith("band "):
            words.append((count, f"{name} is nodata ({scene.nodata[int(name[5:]) - 1]:g})"))
        elif count and "mask" in name:
            words.append((count, f"the {name} is 0"))
    words.sort(key=lambda found: -found[0])
    return ", ".join(
        f"{text} in {'all' if count == pixels else f'{count:,} of'} {pixels:,} pixels" for count, text in words
    )


def lost_by_rule(selection: BandSelection, losses: Losses, valid_pixels: int) -> str:
    """A warning if single bands void nearly all pixels with data under ``nodata_rule=any``, else nothing.

    Args:
        selection: How the scene is read.
        losses: Of all windows.
        valid_pixels: In all windows.
    """
    lost = losses.get(BY_RULE, 0)
    if selection.nodata_rule != "any" or lost <= MOST_BY_RULE * (lost + valid_pixels):
        return ""
    return (
        f"of {lost + valid_pixels:,} pixels with data {lost:,} are lost, since scene.nodata_rule=any voids a pixel as "
        "soon as one band is nodata"
    )


def remedies(selection: BandSelection, losses: Losses) -> str:
    """What may be set otherwise where no pixel is valid."""
    found = []
    if selection.nodata_rule == "any" and losses.get(BY_RULE, 0):
        found.append("scene.nodata_rule=all if a pixel counts where some bands hold data")
    if any(count and name.startswith("band ") for name, count in losses.items()):
        found.append("scene.bands without that band")
    if any(count and name.startswith("mask band ") for name, count in losses.items()):
        found.append("scene.mask_band to the right band")
    if losses.get(DATA, 0) < losses.get(PIXELS, 0) - losses.get(ABSENT, 0):
        found.append("scene.nodata to the true value, if that is none")
    return ", or ".join([*found, "scene.allow_empty to publish an empty class map"])
