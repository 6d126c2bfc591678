"""Read a window of a scene: its pixels as they are stored, and which of them are valid."""

import numpy as np
import rasterio.windows
from numpy.typing import NDArray
from rasterio.errors import RasterioIOError
from rasterio.io import DatasetReader

from geoseg.errors import SceneError
from geoseg.grid.window import Window
from geoseg.raster.bands import BandSelection, usable_nodata
from geoseg.raster.env import open_raster
from geoseg.raster.scene import Scene


def read_window(scene: Scene, selection: BandSelection, window: Window) -> tuple[NDArray[np.number], NDArray[np.bool_]]:
    """Read the selected bands of a window at full resolution.

    A pixel is valid unless it is nodata (see `BandSelection.nodata_rule`), the raster's own mask or the mask band says
    otherwise, or one of its values is NaN or infinite. Without any of these all pixels are valid.

    Args:
        scene: The scene, as described before.
        selection: What to read.
        window: Pixels of the scene; none beyond its rim.

    Returns:
        The stored values, shape (C, H, W), in the smallest type that holds the types of all selected bands, and the
        mask, True = valid, shape (H, W).

    Raises:
        SceneError: If the file cannot be read there, or is no longer the one that was described.
        ValueError: If the window reaches outside the scene.
    """
    if not scene.grid.window.contains(window):
        raise ValueError(f"{window} reaches outside the scene, {scene.grid.window}.")
    try:
        # An overview can be older than the raster it was made from.
        with open_raster(scene.path, driver=scene.driver, remote=scene.remote, OVERVIEW_LEVEL="NONE") as dataset:
            if (dataset.height, dataset.width, dataset.count) != (scene.grid.height, scene.grid.width, scene.bands):
                raise SceneError(f"{scene.path} has changed since the run began. Start the run again.")
            return _read(dataset, scene, selection, window)
    except RasterioIOError as error:
        remedy = (
            "The connection failed or the file is damaged: run again, or fetch the file first."
            if scene.remote
            else "The file is truncated or damaged: fetch it again, or cut the part away with gdal_translate -srcwin."
        )
        raise SceneError(f"{scene.path} cannot be read at {window}: {error.__cause__ or error} {remedy}") from error


def _read(
    dataset: DatasetReader, scene: Scene, selection: BandSelection, window: Window
) -> tuple[NDArray[np.number], NDArray[np.bool_]]:
    part = rasterio.windows.Window(window.col, window.row, window.width, window.height)
    types = {scene.dtypes[band - 1] for band in selection.bands}
    dtype = np.result_type(*types)
    pixels: NDArray[np.number]
    if len(types) == 1:
        pixels = dataset.read(list(selection.bands), window=part)
    else:
        pixels = np.stack([dataset.read(band, window=part).astype(dtype) for band in selection.bands])
    valid = ~_nodata(pixels, [usable_nodata(scene, band) for band in selection.bands], selection.nodata_rule)
    if selection.mask_band is not None:
        valid &= dataset.read(selection.mask_band, window=part) != 0
    if scene.has_mask:
        valid &= dataset.read_masks(selection.bands[0], window=part) != 0
    if dtype.kind == "f":
        valid &= np.isfinite(pixels).all(axis=0)
    return pixels, valid


def _nodata(pixels: NDArray[np.number], values: list[float | None], rule: str) -> NDArray[np.bool_]:
    """Tell where a pixel is nodata.

    Args:
        pixels: Shape (C, H, W).
        values: Nodata value of each band, or None.
        rule: ``any`` or ``all`` of the bands that have a nodata value.

    Returns:
        Shape (H, W).
    """
    hits = [_equals(band, value) for band, value in zip(pixels, values, strict=True) if value is not None]
    if not hits:
        return np.zeros(pixels.shape[1:], np.bool_)
    combine = np.logical_or if rule == "any" else np.logical_and
    invalid: NDArray[np.bool_] = combine.reduce(hits)
    return invalid


def _equals(band: NDArray[np.number], value: float) -> NDArray[np.bool_]:
    # A float32 band holds -3.4e38 rounded to its own type, while the header keeps more digits.
    with np.errstate(over="ignore"):
        own = np.asarray(value).astype(band.dtype)
    hits: NDArray[np.bool_] = np.isnan(band) if np.isnan(value) else band == own
    return hits
