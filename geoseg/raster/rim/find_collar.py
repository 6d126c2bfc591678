"""Find the collar of a scene: black or white pixels around its picture that the file does not declare as nodata."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, maximum_filter

from geoseg.errors import SceneError
from geoseg.grid.window import Window
from geoseg.raster.bands import BandSelection
from geoseg.raster.decode_errors import read_around_holes
from geoseg.raster.read import open_scene
from geoseg.raster.source.scene import Scene
from geoseg.raster.validity.collar import Collar
from geoseg.raster.validity.flood import flood
from geoseg.raster.validity.scanline import Runs, paint_part

EDGE_SHARE = 0.05
"""Least share of the scene's first and last rows and columns that a collar fills."""
NOISE = 3
"""Largest distance of values from black or white in a collar with the noise of lossy compression."""
NOISE_PX, NEARLY = 16, 24
"""The noise is stronger in the blocks along the picture, of up to 16 px. Pixels that far from the collar belong to it
as well if they are connected with it and all bands are that near to its value. nearblack of GDAL takes 15, anywhere."""
NOISY_SHARE, NOISY_PIXELS = 0.25, 50
"""A collar is noisy if that share, and that number, of the pixels beside exactly black or white ones are nearly so."""
LOSSY_DRIVERS = ("JPEG", "JP2OpenJPEG", "WEBP")
LOSSY = ("JPEG", "WEBP", "JPEG2000")
"""Compressions of bytes that change values, as GDAL names them."""
MAX_RUNS = 20_000_000
"""Largest number of runs of pixels; they are in memory in every process."""
PIECE_PX = 4096


def find_collar(scene: Scene, selection: BandSelection) -> tuple[Collar | None, list[str]]:
    """Find the pixels of a collar: black (0) or white (largest value) in all selected bands, connected with the rim.

    Dark or bright places inside the picture are never part of it, unless they reach the rim or the collar.

    Returns:
        The collar, or None; and a sentence on what it rules out.

    Raises:
        SceneError: If the scene is made of several files, or cannot be read.
    """
    if scene.composite is not None:
        raise SceneError(
            f"{scene.path} is made of several files, and scene.collar=auto looks at one. Give the files nodata first, "
            "as GDAL's nearblack does, or leave scene.collar out."
        )
    if scene.palette is not None:
        return None, []
    stored = replace(selection, apply_scale=False, area=None, quality=None)
    rim = np.concatenate([_read(scene, stored, window)[0] for window in _rim(scene.grid.window)], axis=1)
    bytes_only = {scene.dtypes[band - 1] for band in selection.bands} == {"uint8"}
    shares = {value: float(_is_near(rim, value, NOISE * bytes_only).mean()) for value in _values(rim.dtype)}
    value = max(shares, key=lambda one: shares[one])
    if shares[value] < EDGE_SHARE:
        return None, []
    noisy = bytes_only and (_is_lossy(scene) or _has_noise(scene, stored, value))

    def passable(window: Window) -> NDArray[np.bool_]:
        pixels, decoded = _read(scene, stored, window)
        return (_is_near(pixels, value, NOISE * noisy) & decoded).reshape(window.shape)

    runs = flood(scene.grid.window.shape, passable)
    if noisy:
        runs = flood(scene.grid.window.shape, partial(_near_flood, scene, stored, value, runs))
    if not len(runs):
        return None, []
    if len(runs) > MAX_RUNS:
        raise SceneError(
            f"{scene.path}: the collar that scene.collar=auto finds has {len(runs):,} runs of pixels, more than "
            f"{MAX_RUNS:,}: that is no collar. Leave scene.collar out."
        )
    content = runs.astype("<i4").tobytes()
    pixels = int((runs[:, 2] - runs[:, 1]).sum())
    digest = hashlib.sha256(content).hexdigest()[:32]
    collar = Collar(scene.grid.window, value, noisy, pixels, digest, content)
    return collar, [_describe(scene, collar)]


def _near_flood(scene: Scene, selection: BandSelection, value: float, runs: Runs, window: Window) -> NDArray[np.bool_]:
    """True in the runs, and for nearly black or white pixels not far from them; shape of the window."""
    pixels, decoded = _read(scene, selection, window)
    halo = Window(
        window.row - NOISE_PX, window.col - NOISE_PX, window.height + 2 * NOISE_PX, window.width + 2 * NOISE_PX
    )
    around = paint_part(runs, halo)
    beside = maximum_filter(around, size=2 * NOISE_PX + 1)[window.slices(halo)]
    nearly = (_is_near(pixels, value, NEARLY) & decoded).reshape(window.shape)
    found: NDArray[np.bool_] = around[window.slices(halo)] | (beside & nearly)
    return found


def _describe(scene: Scene, collar: Collar) -> str:
    colour = "white" if collar.value else "black"
    share = collar.pixels / collar.scene.pixels
    nearly = f" and nearly {colour}" if collar.noisy else ""
    return (
        f"{scene.path}: scene.collar=auto rules out {collar.pixels:,} {colour}{nearly} pixels around the picture, "
        f"{share:.1%} of the scene."
    )


def _values(dtype: np.dtype[Any]) -> tuple[float, ...]:
    """Black, and white where a data type has a largest value."""
    return (0.0, float(np.iinfo(dtype).max)) if dtype.kind in "iu" else (0.0,)


def _is_near(pixels: NDArray[np.number], value: float, distance: float) -> NDArray[np.bool_]:
    """True where all bands are that near to a value; the bands are the first axis."""
    near = np.ones(pixels.shape[1:], np.bool_)
    for band in pixels:
        near &= (band >= value - distance) & (band <= value + distance)
    return near


def _read(scene: Scene, selection: BandSelection, window: Window) -> tuple[NDArray[np.number], NDArray[np.bool_]]:
    """Stored values of a window, shape (C, N), and False in holes that cannot be decoded, shape (N,)."""
    pixels, _, holes, _ = read_around_holes(scene, selection, window)
    decoded = np.ones(window.shape, np.bool_)
    for hole in holes:
        decoded[hole.slices(window)] = False
    return pixels.reshape(len(pixels), -1), decoded.reshape(-1)


def _rim(scene: Window) -> Iterator[Window]:
    """The first and the last row and column, in pieces."""
    for row in sorted({0, scene.height - 1}):
        for col in range(0, scene.width, PIECE_PX):
            yield Window(row, col, 1, min(PIECE_PX, scene.width - col))
    for col in sorted({0, scene.width - 1}):
        for row in range(0, scene.height, PIECE_PX):
            yield Window(row, col, min(PIECE_PX, scene.height - row), 1)


def _is_lossy(scene: Scene) -> bool:
    with open_scene(scene) as dataset:
        compression = str(dataset.tags(ns="IMAGE_STRUCTURE").get("COMPRESSION", ""))
    return scene.driver in LOSSY_DRIVERS or compression.removeprefix("YCbCr ") in LOSSY


def _has_noise(scene: Scene, selection: BandSelection, value: float) -> bool:
    """Whether pixels beside exactly black or white ones are nearly so: the file was compressed with losses before."""
    near = beside = 0
    whole, side = scene.grid.window, 512
    for row in sorted({0, max(0, whole.height // 2 - side // 2), max(0, whole.height - side)}):
        for col in sorted({0, max(0, whole.width // 2 - side // 2), max(0, whole.width - side)}):
            window = Window(row, col, min(side, whole.height - row), min(side, whole.width - col))
            pixels, _ = _read(scene, selection, window)
            exact = _is_near(pixels, value, 0).reshape(window.shape)
            rim = binary_dilation(exact) & ~exact
            beside += int(np.count_nonzero(rim))
            near += int(np.count_nonzero(rim & _is_near(pixels, value, NEARLY).reshape(window.shape)))
    return near >= max(NOISY_PIXELS, NOISY_SHARE * beside)
