"""Read a damaged file; undecodable parts are holes if the settings allow it."""

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


class PartialPixels(NamedTuple):
    """A window of a scene that may have holes."""

    pixels: NDArray[np.number]
    """As of `read_window`, 0 in the holes; shape (C, H, W)."""
    valid: NDArray[np.bool_]
    """As of `read_window`, False in the holes; shape (H, W)."""
    holes: tuple[Window, ...]
    """Undecodable parts of internal tiles."""
    losses: Counter[str]
    """Causes of invalid pixels in the counted part, see `geoseg.raster.losses`."""


def read_around_holes(
    scene: Scene, selection: BandSelection, window: Window, within: Window | None = None
) -> PartialPixels:
    """Read a window; an undecodable part fails the scene or, with ``on_read_error="nodata"``, is a hole.

    Holes have the extent of the file's internal tiles. A VRT or mosaic does not show those of its sources, so the cells
    of `geoseg.raster.source.cells` are used. So holes do not depend on the window. Losses are counted ``within`` a part
    of the window, by default all of it.

    Raises:
        SceneError: If the file cannot be opened, or cannot be decoded and the selection makes that an error.
    """
    within = within or window
    if selection.on_read_error == "nodata" and (scene.driver == "VRT" or scene.composite is not None):
        return _read_pieces(scene, selection, window, within, cells_of(window, scene.grid.window.shape))
    try:
        pixels, valid, losses = read_counted(scene, selection, window, within)
        return PartialPixels(pixels, valid, (), losses)
    except DecodeError:
        if selection.on_read_error == "fail":
            raise
    return _read_pieces(scene, selection, window, within, _tiles(scene, window))


def _read_pieces(
    scene: Scene, selection: BandSelection, window: Window, within: Window, pieces: Sequence[Window]
) -> PartialPixels:
    """Read each piece as a whole and assemble the window; undecodable pieces are holes."""
    pixels = np.zeros((len(selection.bands), *window.shape), selection.dtype(scene))
    valid = np.zeros(window.shape, np.bool_)
    holes, losses = [], Counter[str]()
    for piece in pieces:
        if (part := piece.intersect(window)) is None:
            continue
        counted = part.intersect(within)
        try:
            read = read_counted(scene, selection, piece, counted or part)
        except DecodeError:
            holes.append(part)
            if counted is not None:
                losses.update({PIXELS: counted.pixels, ABSENT: counted.pixels})
            continue
        at, inside = part.slices(window), part.slices(piece)
        pixels[:, *at], valid[at] = read.pixels[:, *inside], read.valid[inside]
        if counted is not None:
            losses.update(read.losses)
    return PartialPixels(pixels, valid, tuple(holes), losses)


def describe_holes(scene: Scene, holes: tuple[Window, ...]) -> tuple[str, ...]:
    """A warning that names the holes; empty if there are none."""
    if not holes:
        return ()
    listed = "; ".join(map(str, holes[:3])) + (f" and {len(holes) - 3} more" if len(holes) > 3 else "")
    count = sum(hole.pixels for hole in holes)
    return (f"{scene.path}: {count} pixels cannot be decoded and are nodata (scene.on_read_error): {listed}.",)


def _tiles(scene: Scene, window: Window) -> list[Window]:
    """Cut the window along the internal tiles."""
    height, width = scene.block_shape
    rows = range(window.row // height * height, window.row_stop, height)
    cols = range(window.col // width * width, window.col_stop, width)
    cut = (Window(row, col, height, width).intersect(window) for row in rows for col in cols)
    return [piece for piece in cut if piece is not None]
