"""Read what can be read of a damaged file, when a run was told to."""

from collections import Counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoseg.grid.window import Window
from geoseg.raster.bands import BandSelection
from geoseg.raster.losses import ABSENT, PIXELS
from geoseg.raster.read import DecodeError, read_counted, read_window
from geoseg.raster.scene import Scene


class PatchyPixels(NamedTuple):
    """A window of a scene, parts of which may be missing."""

    pixels: NDArray[np.number]
    """As `read_window` gives them; 0 in the holes. Shape (C, H, W)."""
    valid: NDArray[np.bool_]
    """False in the holes. Shape (H, W)."""
    holes: tuple[Window, ...]
    """Parts of internal tiles that cannot be decoded."""
    losses: Counter[str]
    """Why pixels of the part that was asked for are not valid, see `geoseg.raster.losses`."""


def read_around_holes(
    scene: Scene, selection: BandSelection, window: Window, within: Window | None = None
) -> PatchyPixels:
    """Read a window; what cannot be decoded fails the scene or, with ``on_read_error="nodata"``, is a hole.

    Holes follow the file's internal tiles, so they do not depend on the window. Losses are counted ``within`` a part of
    the window, by default all of it.

    Raises:
        SceneError: If the file cannot be opened, or not be decoded and the selection wants that to be an error.
    """
    within = within or window
    try:
        pixels, valid, losses = read_counted(scene, selection, window, within)
        return PatchyPixels(pixels, valid, (), losses)
    except DecodeError:
        if selection.on_read_error == "fail":
            raise
    parts: list[tuple[Window, NDArray[np.number], NDArray[np.bool_]]] = []
    holes = []
    for part in _pieces(scene, window):
        try:
            parts.append((part, *read_window(scene, selection, part)))
        except DecodeError:
            holes.append(part)
    pixels = np.zeros((len(selection.bands), *window.shape), selection.dtype(scene))
    valid = np.zeros(window.shape, np.bool_)
    for part, some_pixels, some_valid in parts:
        at = part.slices(window)
        pixels[(slice(None), *at)], valid[at] = some_pixels, some_valid
    absent = sum(lost.pixels for hole in holes if (lost := hole.intersect(within)) is not None)
    return PatchyPixels(pixels, valid, tuple(holes), Counter({PIXELS: absent, ABSENT: absent}))


def describe_holes(scene: Scene, holes: tuple[Window, ...]) -> tuple[str, ...]:
    """A warning that names the holes, or nothing."""
    if not holes:
        return ()
    listed = "; ".join(map(str, holes[:3])) + (f" and {len(holes) - 3} more" if len(holes) > 3 else "")
    count = sum(hole.pixels for hole in holes)
    return (f"{scene.path}: {count} pixels cannot be decoded and are nodata (scene.on_read_error): {listed}.",)


def _pieces(scene: Scene, window: Window) -> list[Window]:
    """The window cut along the internal tiles."""
    height, width = scene.block_shape
    rows = range(window.row // height * height, window.row_stop, height)
    cols = range(window.col // width * width, window.col_stop, width)
    cut = (Window(row, col, height, width).intersect(window) for row in rows for col in cols)
    return [piece for piece in cut if piece is not None]
