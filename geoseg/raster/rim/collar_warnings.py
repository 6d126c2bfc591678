"""Detect an undeclared nodata collar: one value that fills the edge of a scene, and would become a class."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from geoseg.grid.window import Window
from geoseg.raster.bands import BandSelection, usable_nodata
from geoseg.raster.sample import read_decodable
from geoseg.raster.source.layout import HIGH_AMPLIFICATION, read_amplification
from geoseg.raster.source.scene import Scene

WINDOW_PX = 96
EDGE_SHARE, FILLED_SHARE = 0.2, 0.05
"""Minimum shares of a collar: of the pixels on the scene's edge, and of the pixels in windows along it. In the real
scenes tried, collars fill 0.20 to 1.00 of the edge; without a collar no value fills 0.01."""
VARIED = 16
"""A scene with fewer distinct other values is a class map, in which one value may fill the edge."""


def collar_warnings(scene: Scene, selection: BandSelection, near: Window | None = None) -> list[str]:
    """Inspect windows in the corners and in the middle of each side of a scene, unless it declares validity.

    Only windows that touch the window ``near`` are read, if it is given.

    Returns:
        A warning, or nothing.
    """
    declared = any(usable_nodata(scene, band) is not None for band in selection.bands)
    known = declared or scene.has_mask or selection.mask_band is not None or selection.collar is not None
    if known or scene.palette is not None:
        return []
    stored = replace(selection, apply_scale=False, quality=None, collar=None)  # nodata is a stored value
    edge_pixels, window_pixels = [], []
    windows = [window for window in _windows(scene) if near is None or window.intersect(near) is not None]
    for window, (pixels, *_) in read_decodable(scene, stored, windows):
        edge_pixels.append(pixels[:, _on_edge(scene, window)])
        window_pixels.append(pixels.reshape(len(pixels), -1))
    if not edge_pixels:
        return []
    edge, inside = np.concatenate(edge_pixels, axis=1), np.concatenate(window_pixels, axis=1)
    value = _most_common(edge)
    if value is None:
        return []
    filled = (inside == value[:, None]).all(axis=0)
    edge_share, share = float((edge == value[:, None]).all(axis=0).mean()), float(filled.mean())
    if edge_share < EDGE_SHARE or share < FILLED_SHARE or len(np.unique(inside[:, ~filled])) < VARIED:
        return []
    return [_text(scene, selection, value, share)]


def _text(scene: Scene, selection: BandSelection, value: NDArray[np.number], share: float) -> str:
    by_band = dict(zip(selection.bands, value.tolist(), strict=True))
    if len(set(by_band.values())) == 1:
        what, given = f"the value {value[0]:g}{' in all bands' * (len(by_band) > 1)} fills", f"{value[0]:g}"
    else:
        what = f"the values {', '.join(f'{number:g}' for number in by_band.values())} (by band) fill"
        listed = (f"{by_band[band]:g}" if band in by_band else "null" for band in range(1, scene.bands + 1))
        given = f"[{','.join(listed)}]"
    rule = " and scene.nodata_rule=all" if len(by_band) > 1 and selection.nodata_rule == "any" else ""
    return (
        f"{scene.path}: {what} {share:.0%} of what was looked at along its rim, and the file declares no nodata and no "
        f"mask, so that becomes a class. If it means no data, set scene.nodata={given}{rule}."
    )


def _most_common(pixels: NDArray[np.number]) -> NDArray[np.number] | None:
    """The most common pixel, shape (C,), of pixels of shape (C, N) without NaN."""
    finite = pixels[:, np.isfinite(pixels).all(axis=0)]
    if not finite.size:
        return None
    values, counts = np.unique(finite, axis=1, return_counts=True)
    most_common: NDArray[np.number] = values[:, counts.argmax()]
    return most_common


def _windows(scene: Scene) -> list[Window]:
    height, width = scene.grid.window.shape
    rows, cols = _starts(height), _starts(width)
    if read_amplification(scene) > HIGH_AMPLIFICATION:
        return [Window(0, col, min(height, WINDOW_PX), min(width, WINDOW_PX)) for col in (cols[0], cols[-1])]
    return [
        Window(row, col, min(height, WINDOW_PX), min(width, WINDOW_PX))
        for row in rows
        for col in cols
        if row in (rows[0], rows[-1]) or col in (cols[0], cols[-1])
    ]


def _starts(size: int) -> list[int]:
    """Distinct first pixels of windows at the start, in the middle and at the end of an axis."""
    last = max(0, size - WINDOW_PX)
    return sorted({0, last // 2, last})


def _on_edge(scene: Scene, window: Window) -> NDArray[np.bool_]:
    """True for the pixels of a window in the scene's first or last row or column, shape (H, W)."""
    height, width = scene.grid.window.shape
    rows, cols = np.ogrid[window.row : window.row_stop, window.col : window.col_stop]
    return np.asarray((rows == 0) | (rows == height - 1) | (cols == 0) | (cols == width - 1))
