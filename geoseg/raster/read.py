"""Read a window of a scene: its stored pixels and their validity mask."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import RasterioIOError
from rasterio.io import DatasetReader

from geoseg.errors import SceneError, UnreachableError
from geoseg.grid.window import Window
from geoseg.raster.bands import BandSelection, is_scaled, usable_nodata
from geoseg.raster.losses import COLLAR, COUNTED_BELOW, DATA, NOT_FINITE, PIXELS, QUALITY, count_losses
from geoseg.raster.read_sources import count_composite_losses, read_composite
from geoseg.raster.source.cells import CellCache, Pixels, ReadCell, cut_from_cells
from geoseg.raster.source.env import open_raster
from geoseg.raster.source.palette import apply_palette
from geoseg.raster.source.scene import Scene

_CACHE = CellCache()


class CountedPixels(NamedTuple):
    """A window of a scene."""

    pixels: NDArray[np.number]
    """Shape (C, H, W)."""
    valid: NDArray[np.bool_]
    """Shape (H, W)."""
    losses: Counter[str]
    """Causes of invalid pixels, see `geoseg.raster.losses`; empty if enough pixels are valid."""


class DecodeError(SceneError):
    """The file exists, but a part of it cannot be decoded."""


def read_window(scene: Scene, selection: BandSelection, window: Window) -> tuple[NDArray[np.number], NDArray[np.bool_]]:
    """Read the selected bands of a window at full resolution.

    Of several sources the first valid one counts, see `geoseg.raster.read_sources`; the rest holds for each file.
    A pixel is invalid if it is nodata (see `BandSelection.nodata_rule`), if the raster's mask, the mask band, the
    quality band or the collar excludes it, or if one of its values is NaN or infinite.

    Args:
        scene: The scene.
        selection: Bands and rules.
        window: Window inside the scene.

    Returns:
        The values, shape (C, H, W), stored ones unless the selection scales them or the scene has a palette; and the
        mask, True = valid, shape (H, W).

    Raises:
        DecodeError: If the file cannot be decoded in the window.
        UnreachableError: If the file can no longer be opened, or its server does not send it.
        SceneError: If the file has changed since it was described.
        ValueError: If the window reaches outside the scene.
    """
    return read_counted(scene, selection, window, window)[:2]


def read_counted(scene: Scene, selection: BandSelection, window: Window, within: Window) -> CountedPixels:
    """As `read_window`, with the causes of invalid pixels ``within`` a part of the window if few are valid."""
    read = read_declared(scene, selection, window, within)
    if read.pixels.dtype.kind != "f":
        return read
    finite = np.ones(window.shape, np.bool_)
    for band in read.pixels:
        finite &= np.isfinite(band)
    return _exclude(read, NOT_FINITE, finite, within.slices(window))


def _exclude(read: CountedPixels, cause: str, kept: NDArray[np.bool_], counted: tuple[slice, slice]) -> CountedPixels:
    """Make more pixels invalid, where ``kept`` is False, and count them as losses if few valid ones are left."""
    before = int(np.count_nonzero(read.valid[counted]))
    valid = read.valid & kept
    after, size = int(np.count_nonzero(valid[counted])), kept[counted].size
    losses = read.losses
    if after < COUNTED_BELOW * size:
        # If the window was not counted before, other causes void few pixels.
        losses = losses | Counter({PIXELS: size, DATA: losses[DATA] or size, cause: before - after})
    return CountedPixels(read.pixels, valid, losses)


def read_declared(
    scene: Scene, selection: BandSelection, window: Window, within: Window | None = None
) -> CountedPixels:
    """As `read_counted`, but NaN and infinite values count as valid unless the file declares otherwise."""
    within = within or window
    read = _read_own(scene, replace(selection, quality=None, collar=None), window, within)
    if selection.quality is not None:
        read = _exclude(read, QUALITY, selection.quality.mask(window), within.slices(window))
    if selection.collar is not None:
        read = _exclude(read, COLLAR, selection.collar.mask(window), within.slices(window))
    return read


def _read_own(scene: Scene, selection: BandSelection, window: Window, within: Window) -> CountedPixels:
    """As `read_declared`, by what the file itself declares."""
    if not scene.grid.window.contains(window):
        raise ValueError(f"{window} reaches outside the scene, {scene.grid.window}.")
    if scene.composite is not None:
        composed, valid = read_composite(scene, scene.composite, selection, window, read_window)
        return CountedPixels(composed, valid, count_composite_losses(scene.composite, valid, window, within))
    open_reader = partial(_open_reader, scene, selection)
    if scene.in_cells:
        shape = scene.grid.window.shape
        stored, masks = cut_from_cells(window, shape, (scene, selection), lambda _: open_reader(), _CACHE)
    else:
        with open_reader() as fetch:
            stored, masks = fetch(window)
    return _apply_masks(scene, selection, stored, masks, within.slices(window))


@contextmanager
def _open_reader(scene: Scene, selection: BandSelection) -> Iterator[ReadCell]:
    """Open a scene; yields a function that reads a window of stored values and masks."""
    with open_scene(scene) as dataset:
        yield partial(_read_or_explain, dataset, scene, selection)


def _read_or_explain(dataset: DatasetReader, scene: Scene, selection: BandSelection, window: Window) -> Pixels:
    try:
        return _read_stored(dataset, scene, selection, window)
    except RasterioIOError as error:
        what = f"{scene.path} cannot be read at {window}: {error.__cause__ or error}"
        if scene.remote:  # a failed download is not a hole
            raise UnreachableError(
                f"{what} The connection failed or the file is damaged: run the same command again, or fetch the "
                "file first."
            ) from error
        raise DecodeError(
            f"{what} The file is truncated or damaged: fetch it again, cut the part away with gdal_translate "
            "-srcwin, or set scene.on_read_error=nodata."
        ) from error


@contextmanager
def open_scene(scene: Scene) -> Iterator[DatasetReader]:
    """Open a described scene at full resolution.

    Raises:
        UnreachableError: If it can no longer be opened.
        SceneError: If it has another size or number of bands than its description.
    """
    try:
        # Overviews can be older than the raster.
        with open_raster(scene.path, driver=scene.driver, remote=scene.remote, OVERVIEW_LEVEL="NONE") as dataset:
            if (dataset.height, dataset.width, dataset.count) != (*scene.grid.window.shape, _stored_bands(scene)):
                raise SceneError(f"{scene.path} has changed since the run began. Start the run again.")
            yield dataset
    except RasterioIOError as error:
        remedy = (
            "The connection failed: run again, or fetch the file first."
            if scene.remote
            else "Check that it is still there."
        )
        raise UnreachableError(f"{scene.path} can no longer be opened: {error.__cause__ or error} {remedy}") from error


def _read_stored(dataset: DatasetReader, scene: Scene, selection: BandSelection, window: Window) -> Pixels:
    """Read the stored bands and the masks of `_mask_names`."""
    part, bands = window.ranges, _bands_to_read(scene, selection)
    types = {scene.dtypes[band - 1] for band in bands}
    pixels: NDArray[np.number]
    if len(types) == 1:
        pixels = dataset.read(list(bands), window=part)
    else:
        pixels = np.stack([dataset.read(band, window=part).astype(np.result_type(*types)) for band in bands])
    masks = np.empty((len(_mask_names(scene, selection)), *window.shape), np.bool_)
    if selection.mask_band is not None:
        np.not_equal(dataset.read(selection.mask_band, window=part), 0, out=masks[0])
    if scene.has_mask:
        np.not_equal(dataset.read_masks(bands[0], window=part), 0, out=masks[-1])
    return pixels, masks


def _mask_names(scene: Scene, selection: BandSelection) -> list[str]:
    names = [] if selection.mask_band is None else [f"mask band {selection.mask_band}"]
    return [*names, "mask"] if scene.has_mask else names


def _bands_to_read(scene: Scene, selection: BandSelection) -> tuple[int, ...]:
    return selection.bands if scene.palette is None else (1,)


def _apply_masks(
    scene: Scene,
    selection: BandSelection,
    stored: NDArray[np.number],
    file_masks: NDArray[np.bool_],
    counted: tuple[slice, slice],
) -> CountedPixels:
    """Compute the values and the validity of stored pixels; count losses in the part ``counted``."""
    nodata = [usable_nodata(scene, band) for band in _bands_to_read(scene, selection)]
    valid = ~_nodata(stored, nodata, selection.nodata_rule)
    masks = dict(zip(_mask_names(scene, selection), file_masks, strict=True))
    pixels = stored
    if scene.palette is not None:
        colours, masks["mask of visible colours"] = apply_palette(stored[0], scene.palette)
        pixels = colours[[band - 1 for band in selection.bands]]
    for mask in masks.values():
        valid &= mask
    tests = {
        f"band {band}": partial(_equals, values[counted], value)
        for band, values, value in zip(_bands_to_read(scene, selection), stored, nodata, strict=True)
        if value is not None
    }
    losses = count_losses(valid[counted], tests, {name: mask[counted] for name, mask in masks.items()})
    if selection.apply_scale and is_scaled(scene, selection.bands):
        pixels = _scale(pixels, scene, selection)
    return CountedPixels(pixels, valid, losses)


def _stored_bands(scene: Scene) -> int:
    return scene.bands if scene.palette is None else 1


def _scale(pixels: NDArray[np.number], scene: Scene, selection: BandSelection) -> NDArray[np.number]:
    """``stored * scale + offset`` of each band, computed in float64 and rounded to the selection's dtype."""
    scales, offsets = (
        np.array([values[band - 1] for band in selection.bands])[:, None, None]
        for values in (scene.scales, scene.offsets)
    )
    scaled: NDArray[np.number] = (pixels.astype(np.float64) * scales + offsets).astype(selection.dtype(scene))
    return scaled


def _nodata(pixels: NDArray[np.number], values: list[float | None], rule: str) -> NDArray[np.bool_]:
    """Return True where a pixel is nodata.

    Args:
        pixels: Shape (C, H, W).
        values: Nodata value of each band, or None.
        rule: ``any`` or ``all`` of the bands that have a nodata value.

    Returns:
        Shape (H, W).
    """
    hits = (_equals(band, value) for band, value in zip(pixels, values, strict=True) if value is not None)
    invalid = next(hits, np.zeros(pixels.shape[1:], np.bool_))
    # Band by band, in place: a reduction would hold the arrays of all bands at once.
    for hit in hits:
        (np.logical_or if rule == "any" else np.logical_and)(invalid, hit, out=invalid)
    return invalid


def _equals(band: NDArray[np.number], value: float) -> NDArray[np.bool_]:
    # A float32 band holds -3.4e38 rounded to float32, while the header has more digits.
    with np.errstate(over="ignore"):
        rounded = np.asarray(value).astype(band.dtype)
    hits: NDArray[np.bool_] = np.isnan(band) if np.isnan(value) else band == rounded
    return hits
