"""Read a window of a scene that is made of several sources.

Whole pixels are taken, all bands from one source. How the pixels of a file come to the grid of the scene is decided by
`geoseg.raster.placed`.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from geoseg.config import SceneSettings
from geoseg.errors import SceneError
from geoseg.grid.window import Grid, Window
from geoseg.raster.bands import BandSelection
from geoseg.raster.losses import ABSENT, COUNTED_BELOW, DATA, PIXELS
from geoseg.raster.mosaic.composite import Composite, Part, Source
from geoseg.raster.mosaic.placement import explain_other_grid, offset_px
from geoseg.raster.placed import PlacedFile, Read, own_window
from geoseg.raster.source.cells import Pixels
from geoseg.raster.source.scene import Scene, describe

FILES_DESCRIBED = 512
"""Descriptions of files that a process keeps, a few kilobytes each."""


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
        # All or nothing is usual, and a plain copy takes a fifth of the time.
        np.copyto(pixels[:, *at], values, where=found if not found.all() else np.True_, casting="unsafe")
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
                yield file, bands, own_window(file.grid, grid, common)


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
        placed = PlacedFile(file, bands, scene.grid, composite.resampling, 0 if bands.apply_scale else part.shift)
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
