"""Read a window of one source of a scene: a file, or several that hold a band or more each."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from geoseg.config import SceneSettings
from geoseg.errors import SceneError
from geoseg.grid.window import Window
from geoseg.raster.bands import BandSelection
from geoseg.raster.mosaic.composite import Composite, Part, Source
from geoseg.raster.mosaic.placement import explain_other_grid, offset_px
from geoseg.raster.placed import PlacedFile, Read
from geoseg.raster.source.cells import Pixels
from geoseg.raster.source.scene import Scene, describe
from geoseg.raster.validity.quality_file import how_described, quality_of

FILES_DESCRIBED = 512
"""Descriptions of files that a process keeps, a few kilobytes each."""
MOST_THREADS = 8
"""Files of a source that are fetched at a time."""
_WAITS = ("/vsi", "http://", "https://", "s3://")
"""Names of files whose reading mostly waits for the network."""


def read_source(
    scene: Scene, composite: Composite, source: Source, selection: BandSelection, window: Window, read: Read
) -> Pixels:
    """Read all selected bands of a source in a window that it touches; errors name the source and its asset.

    Args:
        scene: The scene.
        composite: Its sources.
        source: One of them.
        selection: Bands of the scene, and rules.
        window: Window of the scene.
        read: Reads a file.

    Returns:
        Values, shape (C, H, W), and validity, shape (H, W).
    """
    parts = [(part, *bands_of(part, selection)) for part in source.parts]
    wanted = [(part, places, bands) for part, places, bands in parts if bands is not None]
    if not wanted:
        raise SceneError(f"{source.name} gives none of the bands {list(selection.bands)}. Correct its bands.")
    read_part = partial(_read_part, scene, composite, source, window, read)
    if len(wanted) > 1 and any(part.path.startswith(_WAITS) for part, _, _ in wanted):
        with ThreadPoolExecutor(MOST_THREADS) as pool:
            found = list(pool.map(read_part, *zip(*wanted, strict=True)))
    else:
        found = [read_part(*one) for one in wanted]
    dtype = selection.dtype(scene)
    for (part, _, _), (values, _) in zip(wanted, found, strict=True):
        if dtype.kind != "f" and not np.can_cast(values.dtype, dtype):
            raise SceneError(
                f"{part.path} holds {values.dtype}, and other sources of {scene.path} {dtype}. Convert it: "
                f"gdal_translate -ot {dtype} IN OUT; if it came with an Item, correct its data_type."
            )
    if len(found) == 1 and wanted[0][1] == list(range(len(selection.bands))):
        pixels, valid = found[0]
        return pixels, _without_clouds(scene, composite, source, valid, window)
    pixels = np.zeros((len(selection.bands), *window.shape), dtype)
    for (_, places, _), (values, _) in zip(wanted, found, strict=True):
        pixels[places] = values
    combine = np.logical_and if selection.nodata_rule == "any" else np.logical_or
    valid = combine.reduce([mask for _, mask in found])
    return pixels, _without_clouds(scene, composite, source, valid, window)


def bands_of(part: Part, selection: BandSelection) -> tuple[list[int], BandSelection | None]:
    """Places, in the selection, of the bands that a part gives, and their selection in its file or None."""
    own = dict(zip(part.gives, part.bands, strict=True))
    places = [place for place, band in enumerate(selection.bands) if band in own]
    mask_band = None if selection.mask_band is None else own.get(selection.mask_band)
    bands = tuple(own[selection.bands[place]] for place in places)
    return places, replace(selection, bands=bands, mask_band=mask_band, area=None) if bands else None


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


def _read_part(
    scene: Scene,
    composite: Composite,
    source: Source,
    window: Window,
    read: Read,
    part: Part,
    _: Sequence[int],
    bands: BandSelection,
) -> Pixels:
    """Read the bands of one file."""
    with _named(source, part):
        file = described(part, composite.settings)
        if bands.mask_band is None and file.alpha_band not in bands.bands:
            bands = replace(bands, mask_band=file.alpha_band)
        shift = 0 if bands.apply_scale else part.shift
        return PlacedFile(file, bands, scene.grid, composite.resampling, shift).read(window, read)


def _without_clouds(
    scene: Scene, composite: Composite, source: Source, valid: NDArray[np.bool_], window: Window
) -> NDArray[np.bool_]:
    """Validity without what the quality bands of the source rule out."""
    wanted = composite.settings.quality
    if wanted is None or not valid.any():
        return valid
    for part in source.quality:
        with _named(source, part):
            file = described(part, how_described(composite.settings, scene.grid.crs))
            valid = valid & quality_of(scene.grid, file, part.bands[0], wanted).mask(window)
    return valid


@contextmanager
def _named(source: Source, part: Part) -> Iterator[None]:
    """Name the Item and the asset in errors."""
    try:
        yield
    except SceneError as error:
        if part.asset is None:
            raise
        raise type(error)(f"{source.name}, asset {part.asset}: {error}") from error


@lru_cache(maxsize=FILES_DESCRIBED)
def _describe(path: str, settings: SceneSettings) -> Scene:
    return describe(path, settings, with_versions=False)
