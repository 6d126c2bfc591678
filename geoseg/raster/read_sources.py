"""Read a window of a scene that is made of several sources.

By `Composite.pick` a pixel is that of the first source that is valid there, with all its bands, or the median of those
that are, band by band. How the pixels of a file come to the grid of the scene is decided by
`geoseg.raster.placed`.
"""

from collections import Counter
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from geoseg.grid.window import Grid, Window
from geoseg.raster.bands import BandSelection
from geoseg.raster.losses import ABSENT, COUNTED_BELOW, DATA, PIXELS
from geoseg.raster.mosaic.composite import Composite
from geoseg.raster.mosaic.median import median_of_valid
from geoseg.raster.placed import Read, own_window
from geoseg.raster.read_source import bands_of, described, read_source
from geoseg.raster.source.cells import CELL_PX, Pixels
from geoseg.raster.source.scene import Scene

MEDIAN_BYTES = 128 << 20
"""Values of all dates that are in memory at a time."""


def read_composite(scene: Scene, composite: Composite, selection: BandSelection, window: Window, read: Read) -> Pixels:
    """Read a window: at each pixel the first source that is valid there, or the median of those that are.

    Args:
        scene: The scene.
        composite: Its sources.
        selection: Bands of the scene, and rules.
        window: Window inside the scene.
        read: Reads a file. Only sources that touch the window are read.

    Returns:
        Values, shape (C, H, W), 0 where no source is valid; and validity, shape (H, W).
    """
    if composite.pick != "median":
        return _read_first(scene, composite, selection, window, read)
    pixels = np.zeros((len(selection.bands), *window.shape), selection.dtype(scene))
    valid = np.zeros(window.shape, np.bool_)
    for piece in _pieces(composite, window, len(pixels) * pixels.itemsize):
        at = piece.slices(window)
        pixels[:, *at], valid[at] = _read_median(scene, composite, selection, piece, read)
    return pixels, valid


def _read_first(scene: Scene, composite: Composite, selection: BandSelection, window: Window, read: Read) -> Pixels:
    """The first source that is valid; none is read where all is found."""
    pixels = np.zeros((len(selection.bands), *window.shape), selection.dtype(scene))
    valid = np.zeros(window.shape, np.bool_)
    for source, part in composite.touching(window):
        at = part.slices(window)
        if valid[at].all():
            continue
        values, found = read_source(scene, composite, source, selection, part, read)
        found = found & ~valid[at]
        # All or nothing is usual, and a plain copy takes a fifth of the time.
        np.copyto(pixels[:, *at], values, where=found if not found.all() else np.True_, casting="unsafe")
        valid[at] |= found
    return pixels, valid


def _read_median(scene: Scene, composite: Composite, selection: BandSelection, window: Window, read: Read) -> Pixels:
    """The median of the sources that are valid."""
    touching = list(composite.touching(window))
    stack = np.zeros((len(touching), len(selection.bands), *window.shape), selection.dtype(scene))
    known = np.zeros((len(touching), *window.shape), np.bool_)
    for (source, part), values, valid in zip(touching, stack, known, strict=True):
        at = part.slices(window)
        values[:, *at], valid[at] = read_source(scene, composite, source, selection, part, read)
    if not touching:
        return np.zeros((len(selection.bands), *window.shape), stack.dtype), np.zeros(window.shape, np.bool_)
    return median_of_valid(stack, known), np.asarray(known.any(axis=0))


def _pieces(composite: Composite, window: Window, pixel_bytes: int) -> Iterator[Window]:
    """Cut a window so that the values of all sources that touch a piece are bounded; where possible between cells."""
    count = sum(1 for _ in composite.touching(window))
    if window.pixels == 1 or count * window.pixels * pixel_bytes <= MEDIAN_BYTES:
        yield window
        return
    row, col, row_stop, col_stop = window.row, window.col, window.row_stop, window.col_stop
    if window.height >= window.width:
        half = _half(row, row_stop)
        halves = Window.from_bounds(row, col, half, col_stop), Window.from_bounds(half, col, row_stop, col_stop)
    else:
        half = _half(col, col_stop)
        halves = Window.from_bounds(row, col, row_stop, half), Window.from_bounds(row, half, row_stop, col_stop)
    for part in halves:
        yield from _pieces(composite, part, pixel_bytes)


def _half(start: int, stop: int) -> int:
    """The middle of a range, moved to a side of a cell if one lies inside."""
    middle = (start + stop) // 2
    return next(
        (at for at in (middle // CELL_PX * CELL_PX, -(-middle // CELL_PX) * CELL_PX) if start < at < stop), middle
    )


def count_composite_losses(
    composite: Composite, valid: NDArray[np.bool_], window: Window, within: Window
) -> Counter[str]:
    """Count the causes of invalid pixels ``within`` a part of a window, unless many are valid."""
    found = int(np.count_nonzero(valid[within.slices(window)]))
    if found >= COUNTED_BELOW * within.pixels:
        return Counter()
    covered = np.zeros(within.shape, np.bool_)
    for _, part in composite.touching(within):
        covered[part.slices(within)] = True
    data = int(np.count_nonzero(covered))
    clouds = " or their quality band" if any(source.quality for source in composite.sources) else ""
    lost = {f"mask of the sources{clouds}": data - found}
    return Counter({PIXELS: within.pixels, DATA: data, ABSENT: within.pixels - data, **lost})


def files_touching(
    grid: Grid, composite: Composite, selection: BandSelection, window: Window
) -> Iterator[tuple[Scene, BandSelection, Window | None]]:
    """Yield the files that touch a window, with their bands and their own window, which is None on another grid."""
    for source, common in composite.touching(window):
        for part in source.parts:
            _, bands = bands_of(part, selection)
            if bands is not None:
                file = described(part, composite.settings)
                yield file, bands, own_window(file.grid, grid, common)


def some_files(composite: Composite, selection: BandSelection, count: int) -> Iterator[tuple[Scene, BandSelection]]:
    """Yield files of up to ``count`` sources, evenly spread, with their bands; to look for what they have in common."""
    for index in sorted({len(composite.sources) * place // count for place in range(count)}):
        for part in composite.sources[index].parts:
            _, bands = bands_of(part, selection)
            if bands is not None:
                yield described(part, composite.settings), bands
