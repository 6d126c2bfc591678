"""Read a window of a scene that is made of several sources.

Whole pixels are taken, all bands from one source. Files on the scene's own grid are copied. Others are brought to it in
the fixed cells of `geoseg.raster.source.cells`, so that no pixel depends on the window.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from geoseg.config import SceneSettings
from geoseg.errors import SceneError
from geoseg.grid.window import Grid, Window
from geoseg.raster.bands import BandSelection
from geoseg.raster.losses import ABSENT, COUNTED_BELOW, DATA, PIXELS
from geoseg.raster.mosaic.composite import Composite, Part, Resampling, Source
from geoseg.raster.mosaic.placement import explain_other_grid, needed, offset_px
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
        raise SceneError(explain_other_grid(part.path, file.grid, part.grid))
    if max(part.bands) > file.bands:
        raise SceneError(
            f"{part.path} has {file.bands} bands, and band {max(part.bands)} is wanted. Correct the number."
        )
    if part.nodata is not None and all(value is None for value in file.nodata):
        file = replace(file, nodata=(part.nodata,) * file.bands)
    if part.scaling is not None:
        scale, offset = part.scaling
        file = replace(file, scales=(scale,) * file.bands, offsets=(offset,) * file.bands)
    return file


@lru_cache(maxsize=FILES_DESCRIBED)
def _describe(path: str, settings: SceneSettings) -> Scene:
    return describe(path, settings, with_versions=False)


def _read_source(
    scene: Scene, composite: Composite, source: Source, selection: BandSelection, window: Window, read: Read
) -> Pixels:
    """Read all selected bands of one source in a window that it touches."""
    pixels = np.zeros((len(selection.bands), *window.shape), selection.dtype(scene))
    valid: NDArray[np.bool_] | None = None
    for part in source.parts:
        places, bands = _bands_of(part, selection)
        if bands is None:
            continue
        file = described(part, composite.settings)
        if bands.mask_band is None and file.alpha_band not in bands.bands:
            bands = replace(bands, mask_band=file.alpha_band)
        placed = _Placed(file, bands, scene.grid, composite.resampling, 0 if bands.apply_scale else part.shift)
        values, found = placed.read(window, read)
        if pixels.dtype.kind != "f" and not np.can_cast(values.dtype, pixels.dtype):
            raise SceneError(
                f"{part.path} holds {values.dtype}, and other sources of {scene.path} {pixels.dtype}. Convert it: "
                f"gdal_translate -ot {pixels.dtype} IN OUT; if it came with an Item, correct its data_type."
            )
        pixels[places] = values
        if valid is None:
            valid = found
        else:
            (np.logical_and if selection.nodata_rule == "any" else np.logical_or)(valid, found, out=valid)
    if valid is None:
        raise SceneError(f"{source.name} gives none of the bands {list(selection.bands)}. Correct its bands.")
    return pixels, valid


def _bands_of(part: Part, selection: BandSelection) -> tuple[list[int], BandSelection | None]:
    """Places, in the selection, of the bands that a part gives, and their selection in its file or None."""
    own = dict(zip(part.gives, part.bands, strict=True))
    places = [place for place, band in enumerate(selection.bands) if band in own]
    mask_band = None if selection.mask_band is None else own.get(selection.mask_band)
    bands = tuple(own[selection.bands[place]] for place in places)
    return places, replace(selection, bands=bands, mask_band=mask_band, area=None) if bands else None


@dataclass(frozen=True, slots=True)
class _Placed:
    """Bands of a file on the grid of a scene."""

    file: Scene
    selection: BandSelection
    grid: Grid
    resampling: Resampling
    shift: int

    def read(self, window: Window, read: Read) -> Pixels:
        """Read a window of the grid: copied where the file's pixels are the grid's, else warped in cells."""
        own = _own_window(self.file.grid, self.grid, window)
        if own is not None:
            return self._shifted(*read(self.file, self.selection, own))
        # The cell's position and this value are all that its pixels depend on.
        opened = partial(_opened, partial(self._warp_cell, read))
        values, valid = cut_from_cells(window, self.grid.window.shape, self, opened, _CELLS)
        return values, valid[0]

    def _warp_cell(self, read: Read, cell: Window) -> Pixels:
        """Read what a cell needs of the file, and warp it; validity has the shape (1, H, W)."""
        margin = margin_px(self.file.grid, self.grid, self.resampling)
        window = needed(cell, self.grid, self.file.grid, margin)
        if window is None:
            shape = (len(self.selection.bands), *cell.shape)
            return np.zeros(shape, self.selection.dtype(self.file)), np.zeros((1, *cell.shape), np.bool_)
        pixels, valid = self._shifted(*read(self.file, self.selection, window))
        values, found = warp(pixels, valid, self.file.grid, window, self.grid, cell, self.resampling)
        return values, found[None]

    def _shifted(self, pixels: NDArray[np.number], valid: NDArray[np.bool_]) -> Pixels:
        """The values with the shift added, at least 0."""
        if not self.shift:
            return pixels, valid
        shifted = np.maximum(pixels.astype(np.float64) + self.shift, 0)
        return shifted.astype(pixels.dtype), valid


def _own_window(child: Grid, grid: Grid, window: Window) -> Window | None:
    """The window of a file that is ``window`` of the scene, if the pixels are the same."""
    start = offset_px(child, grid)
    return None if start is None else replace(window, row=window.row - start[0], col=window.col - start[1])


@contextmanager
def _opened(read: ReadCell) -> Iterator[ReadCell]:
    with gdal_env():
        yield read
