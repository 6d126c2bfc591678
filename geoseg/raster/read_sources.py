"""Read a window of a scene that is made of several sources.

Whole pixels are taken, all bands from one source. Files on the scene's own grid are copied. Others are brought to it in
the fixed cells of `geoseg.raster.source.cells`, so that no pixel depends on the window.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from geoseg.config import SceneSettings
from geoseg.errors import SceneError
from geoseg.grid.window import Grid, Window
from geoseg.raster.bands import BandSelection
from geoseg.raster.losses import ABSENT, COUNTED_BELOW, DATA, PIXELS
from geoseg.raster.mosaic.composite import Composite, Part, Resampling, Source
from geoseg.raster.mosaic.placement import needed, offset_px
from geoseg.raster.mosaic.warp import margin_px, warp
from geoseg.raster.source.cells import CellCache, Pixels, ReadCell, cut_from_cells
from geoseg.raster.source.env import gdal_env
from geoseg.raster.source.scene import Scene, describe

FILES_DESCRIBED = 512
"""Descriptions of files that a process keeps, a few kilobytes each."""
Read = Callable[[Scene, BandSelection, Window], Pixels]
"""Reads a window of a scene of one file: values, shape (C, H, W), and their validity, shape (H, W)."""

_CELLS = CellCache()


def read_composite(
    scene: Scene, composite: Composite, selection: BandSelection, window: Window, read: Read
) -> tuple[NDArray[np.number], NDArray[np.bool_]]:
    """Read a window: at each pixel the first source that is valid there.

    Args:
        scene: The scene.
        composite: Its sources.
        selection: Bands of the scene, and rules.
        window: Window inside the scene.
        read: Reads a file. Only sources that touch the window are read, and none where all is found.

    Returns:
        Values, shape (C, H, W), 0 where no source is valid; and validity, shape (H, W).
    """
    pixels = np.zeros((len(selection.bands), *window.shape), selection.dtype(scene))
    valid = np.zeros(window.shape, np.bool_)
    for source, part in composite.touching(window):
        at = part.slices(window)
        if valid[at].all():
            continue
        values, found = _read_source(scene, composite, source, selection, part, read)
        found &= ~valid[at]
        np.copyto(pixels[:, *at], values, where=found, casting="unsafe")
        valid[at] |= found
    return pixels, valid


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
    counts = {PIXELS: within.pixels, DATA: data, ABSENT: within.pixels - data, "mask of the sources": data - found}
    return Counter(counts)


def files_touching(
    grid: Grid, composite: Composite, selection: BandSelection, window: Window
) -> Iterator[tuple[Scene, BandSelection, Window | None]]:
    """Yield the files that touch a window, with their bands and their own window, which is None on another grid."""
    for source, common in composite.touching(window):
        for part in source.parts:
            _, bands = _bands_of(part, selection)
            if bands is not None:
                file = described(part, composite.settings)
                yield file, bands, _own_window(file.grid, grid, common)


def some_files(composite: Composite, selection: BandSelection, count: int) -> Iterator[tuple[Scene, BandSelection]]:
    """Yield files of up to ``count`` sources, evenly spread, with their bands; to look for what they have in common."""
    for index in sorted({len(composite.sources) * place // count for place in range(count)}):
        for part in composite.sources[index].parts:
            _, bands = _bands_of(part, selection)
            if bands is not None:
                yield described(part, composite.settings), bands


def described(part: Part, settings: SceneSettings) -> Scene:
    """Describe the file of a part, once in a process.

    Raises:
        SceneError: If it cannot be used, or has another size or place than when the run was planned.
    """
    file = _describe(part.path, settings)
    if file.grid.window != part.grid.window or offset_px(file.grid, part.grid) != (0, 0):
        raise SceneError(
            f"{part.path} is not what it was said to be: {_summary(file.grid)}, not {_summary(part.grid)}. If the file "
            "has changed, start the run again; if it came with an Item, correct the Item's proj: properties."
        )
    if max(part.bands) > file.bands:
        raise SceneError(
            f"{part.path} has {file.bands} bands, and band {max(part.bands)} is wanted. Correct the number."
        )
    return file


@lru_cache(maxsize=FILES_DESCRIBED)
def _describe(path: str, settings: SceneSettings) -> Scene:
    return describe(path, settings, with_versions=False)


def _read_source(
    scene: Scene, composite: Composite, source: Source, selection: BandSelection, window: Window, read: Read
) -> Pixels:
    """Read all selected bands of one source in a window that it touches."""
    result: Pixels | None = None
    for part in source.parts:
        places, bands = _bands_of(part, selection)
        if bands is None:
            continue
        child = described(part, composite.settings)
        values, valid = _read_placed(child, bands, scene.grid, window, composite.resampling, read)
        if len(source.parts) == 1:
            return values, valid
        if result is None:
            result = np.zeros((len(selection.bands), *window.shape), selection.dtype(scene)), valid
        result[0][places] = values
        result = result[0], (result[1] & valid if selection.nodata_rule == "any" else result[1] | valid)
    if result is None:
        raise SceneError(f"{source.name} gives none of the bands {list(selection.bands)}. Correct its bands.")
    return result


def _bands_of(part: Part, selection: BandSelection) -> tuple[list[int], BandSelection | None]:
    """Places, in the selection, of the bands that a part gives, and their selection in its file or None."""
    own = dict(zip(part.gives, part.bands, strict=True))
    places = [place for place, band in enumerate(selection.bands) if band in own]
    mask_band = None if selection.mask_band is None else own.get(selection.mask_band)
    bands = tuple(own[selection.bands[place]] for place in places)
    return places, replace(selection, bands=bands, mask_band=mask_band) if bands else None


def _read_placed(
    child: Scene, selection: BandSelection, grid: Grid, window: Window, resampling: Resampling, read: Read
) -> Pixels:
    """Read a window of a scene's grid from a file: copied where its pixels are the scene's, else warped in cells."""
    own = _own_window(child.grid, grid, window)
    if own is not None:
        return read(child, selection, own)
    warp_cell = partial(_warp_cell, child, selection, grid, resampling, read)
    key = (child, selection, grid, resampling)
    values, valid = cut_from_cells(window, grid.window.shape, key, partial(_opened, warp_cell), _CELLS)
    return values, valid[0]


def _own_window(child: Grid, grid: Grid, window: Window) -> Window | None:
    """The window of a file that is ``window`` of the scene, if the pixels are the same."""
    start = offset_px(child, grid)
    return None if start is None else replace(window, row=window.row - start[0], col=window.col - start[1])


@contextmanager
def _opened(read: ReadCell) -> Iterator[ReadCell]:
    with gdal_env():
        yield read


def _warp_cell(
    child: Scene, selection: BandSelection, grid: Grid, resampling: Resampling, read: Read, cell: Window
) -> Pixels:
    """Read what a cell needs of a file, and warp it; validity has the shape (1, H, W)."""
    window = needed(cell, grid, child.grid, margin_px(child.grid, grid, resampling))
    if window is None:
        return np.zeros((len(selection.bands), *cell.shape), selection.dtype(child)), np.zeros(
            (1, *cell.shape), np.bool_
        )
    pixels, valid = read(child, selection, window)
    values, found = warp(pixels, valid, child.grid, window, grid, cell, resampling)
    return values, found[None]


def _summary(grid: Grid) -> str:
    a, _, x, _, e, y = grid.transform
    return f"{grid.height} x {grid.width} pixels of {a:g}, {e:g} at ({x:.10g}, {y:.10g})"
