"""Read what can be read of a damaged file, when a run was told to."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoseg.grid.window import Window
from geoseg.raster.bands import BandSelection
from geoseg.raster.losses import ABSENT, PIXELS
from geoseg.raster.read import DecodeError, read_counted
from geoseg.raster.source.cells import cells_of
from geoseg.raster.source.scene import Scene


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

    Holes follow the file's internal tiles, or for a VRT, which shows none of its sources', the cells of
    `geoseg.raster.source.cells`: they do not depend on the window. Losses are counted ``within`` a part of the window,
    by default all of it.

    Raises:
        SceneError: If the file cannot be opened, or not be decoded and the selection wants that to be an error.
    """
    within = within or window
    if selection.on_read_error == "nodata" and scene.driver == "VRT":
        return _read_pieces(scene, selection, window, within, cells_of(window, scene.grid.window.shape))
    try:
        pixels, valid, losses = read_counted(scene, selection, window, within)
        return PatchyPixels(pixels, valid, (), losses)
    except DecodeError:
        if selection.on_read_error == "fail":
            raise
    return _read_pieces(scene, selection, window, within, _tiles(scene, window))


def _read_pieces(
    scene: Scene, selection: BandSelection, window: Window, within: Window, pieces: Sequence[Window]
) -> PatchyPixels:
    """Read each piece as a whole, and put the window together from them; those that cannot be decoded are holes."""
    pixels = np.zeros((len(selection.bands), *window.shape), selection.dtype(scene))
    valid = np.zeros(window.shape, np.bool_)
    holes, losses = [], Counter[str]()
    for piece in pieces:
        if (part := piece.intersect(window)) is None:
            continue
        counted = part.intersect(within)
        try:
            found = read_counted(scene, selection, piece, counted or part)
        except DecodeError:
            holes.append(part)
            if counted is not None:
                losses.update({PIXELS: counted.pixels, ABSENT: counted.pixels})
            continue
        at, inside = part.slices(window), part.slices(piece)
        pixels[:, *at], valid[at] = found.pixels[:, *inside], found.valid[inside]
        if counted is not None:
            losses.update(found.losses)
    return PatchyPixels(pixels, valid, tuple(holes), losses)


def describe_holes(scene: Scene, holes: tuple[Window, ...]) -> tuple[str, ...]:
    """A warning that names the holes, or nothing."""
    if not holes:
        return ()
    listed = "; ".join(map(str, holes[:3])) + (f" and {len(holes) - 3} more" if len(holes) > 3 else "")
    count = sum(hole.pixels for hole in holes)
    return (f"{scene.path}: {count} pixels cannot be decoded and are nodata (scene.on_read_error): {listed}.",)


def _tiles(scene: Scene, window: Window) -> list[Window]:
    """The window cut along the internal tiles."""
    height, width = scene.block_shape
    rows = range(window.row // height * height, window.row_stop, height)
    cols = range(window.col // width * width, window.col_stop, width)
    cut = (Window(row, col, height, width).intersect(window) for row in rows for col in cols)
    return [piece for piece in cut if piece is not None]
