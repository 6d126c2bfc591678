"""Choose places of a scene at which a model is tried, and read them."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import SceneError
from geoseg.grid.window import Window
from geoseg.raster.bands import BandSelection
from geoseg.raster.decode_errors import read_around_holes
from geoseg.raster.losses import ABSENT, PIXELS, describe_losses
from geoseg.raster.source.scene import Scene
from geoseg.raster.sparse import has_data

SITE_PX = 256
"""Smallest side of a site; networks with smaller patches get several of them."""
MAX_SITES, MAX_PIXELS = 6, 1 << 21
"""Most sites, and most pixels of all, of which there is at least one site."""
MAX_PLACES, MAX_READ = 1000, 400
"""Most places that are looked at to find valid ones, and most of them that are read since something is stored there. So
the time does not grow with the scene."""
ENOUGH_VALID = 0.5
"""Share of valid pixels of a good site; others are taken only if there are not enough good ones."""
_STEPS = 0.7548776662466927, 0.5698402909980532
"""Steps of the R2 sequence, which fills a square evenly however many points are taken (M. Roberts, 2018, "The
unreasonable effectiveness of quasirandom sequences")."""


class Site(NamedTuple):
    """A square of a scene, or what the scene has of it."""

    window: Window
    pixels: NDArray[np.number]
    """Stored values of the model's bands, shape (C, H, W)."""
    valid: NDArray[np.bool_]
    """Shape (H, W); True where the scene is valid."""
    counted: NDArray[np.bool_]
    """The valid pixels that get a class: those in the area of interest; True somewhere."""


def read_sites(scene: Scene, selection: BandSelection, patch_px: int) -> Iterator[Site]:
    """Read squares of whole patches, spread over the valid part of a scene; one at a time is in memory.

    Args:
        scene: The scene.
        selection: Its bands, in the model's order.
        patch_px: Side of a patch.

    Yields:
        At least one site.

    Raises:
        SceneError: If the scene cannot be read, or no pixel of the places that were looked at is valid.
    """
    side = max(patch_px, SITE_PX // patch_px * patch_px)
    wanted = max(1, min(MAX_SITES, MAX_PIXELS // side**2))
    poor: list[tuple[float, int, Window]] = []
    losses, found, read, places = Counter[str](), 0, 0, spread(selection.bounds(scene), side)
    for index, window in enumerate(places):
        if not has_data(scene, selection, window):
            losses.update({PIXELS: window.pixels, ABSENT: window.pixels})
            continue
        if read == MAX_READ:
            places = places[:index]
            break
        read += 1
        pixels, valid, _, lost = read_around_holes(scene, selection, window)
        losses.update(lost)
        counted = _in_area(selection, window, valid)
        share = float(counted.mean())
        if share >= ENOUGH_VALID:
            found += 1
            yield Site(window, pixels, valid, counted)
        elif share > 0:
            poor.append((-share, index, window))
        if found == wanted:
            return
    for _, _, window in sorted(poor)[: wanted - found]:
        found += 1
        pixels, valid, *_ = read_around_holes(scene, selection, window)
        yield Site(window, pixels, valid, _in_area(selection, window, valid))
    if not found:
        raise SceneError(_nothing_valid(scene, selection, losses, len(places)))


def spread(whole: Window, side: int) -> list[Window]:
    """Up to `MAX_PLACES` squares of a window that do not overlap, evenly spread over it; all, if there are no more.

    A side of the window that is shorter than a square is one.
    """
    rows, cols = (_starts(*ends, side) for ends in whole.ranges)
    total, order = len(rows) * len(cols), dict[tuple[int, int], None]()
    for index in range(4 * MAX_PLACES):
        row, col = ((0.5 + index * step) % 1 for step in _STEPS)
        order[rows[int(row * len(rows))], cols[int(col * len(cols))]] = None
        if len(order) == min(total, MAX_PLACES):
            break
    if total <= MAX_PLACES:
        order |= dict.fromkeys((row, col) for row in rows for col in cols)
    height, width = (min(side, size) for size in whole.shape)
    return [Window(row, col, height, width) for row, col in order]


def _in_area(selection: BandSelection, window: Window, valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return valid if selection.area is None else valid & selection.area.mask(window)


def _starts(start: int, stop: int, side: int) -> range:
    """First pixels of whole squares in the middle of an axis."""
    count = max(1, (stop - start) // side)
    first = start + max(0, stop - start - count * side) // 2
    return range(first, first + count * side, side)


def _nothing_valid(scene: Scene, selection: BandSelection, losses: Counter[str], places: int) -> str:
    where = f" at any of {places} places that were tried, spread over it" if places > 1 else ""
    causes = describe_losses(scene, selection, losses) or "nothing is stored there"
    return (
        f"{scene.path}: no pixel is valid{where}: {causes}. "
        "Give a scene or a part with data (gdal_translate -srcwin), or correct what makes pixels invalid: --set "
        "scene.nodata, scene.nodata_rule or scene.mask_band."
    )
