"""Sample a scene's values before a run: a few windows at full resolution, spread over the scene."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import SceneError, UnreachableError
from geoseg.grid.window import Window
from geoseg.raster.bands import BandSelection, is_scaled, usable_nodata
from geoseg.raster.losses import Losses, describe_losses, nodata_rule_warning
from geoseg.raster.read import CountedPixels, DecodeError, read_declared
from geoseg.raster.source.layout import HIGH_AMPLIFICATION, read_amplification
from geoseg.raster.source.scene import Scene

WINDOWS_PER_SIDE = 4
WINDOW_PX = 96

SATURATED_SHARE = 0.25
"""A band is saturated if a larger share of its sample holds the largest value of its data type."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Values of some pixels of a scene."""

    values: NDArray[np.number]
    """Values of the valid pixels, shape (C, N)."""
    pixels: int
    """Number of sampled pixels that the file does not declare invalid."""
    not_finite: int
    """Those of ``pixels`` where a band is NaN or infinite."""
    losses: Losses = field(default_factory=dict)
    """Causes of invalid pixels in the counted windows."""


def take_sample(scene: Scene, selection: BandSelection) -> Sample:
    """Read up to 16 windows of a scene, or of the bounds of its area; small ones are read whole. Never overviews."""
    values, pixels, not_finite = [np.empty((len(selection.bands), 0), selection.dtype(scene))], 0, 0
    losses: Counter[str] = Counter()
    for _, (read, declared, lost) in read_decodable(scene, selection, _windows(scene, selection.bounds(scene))):
        finite = np.isfinite(read).all(axis=0)
        pixels += int(declared.sum())
        not_finite += int((declared & ~finite).sum())
        values.append(read[:, declared & finite])
        losses += lost
    return Sample(np.concatenate(values, axis=1), pixels, not_finite, losses)


def read_decodable(
    scene: Scene, selection: BandSelection, windows: Iterable[Window]
) -> Iterator[tuple[Window, CountedPixels]]:
    """Read windows of a scene as `geoseg.raster.read.read_declared` does.

    Undecodable windows are skipped: their blocks report them. It ends after a failed download, since each window would
    cost the whole timeout.
    """
    for window in windows:
        try:
            yield window, read_declared(scene, selection, window)
        except DecodeError:
            continue
        except UnreachableError:
            return


def without_nodata(scene: Scene, selection: BandSelection, sample: Sample) -> NDArray[np.number]:
    """Values of the pixels without a nodata band, shape (C, N): with ``nodata_rule=all`` valid pixels can have some."""
    keep = np.ones(sample.values.shape[1], np.bool_)
    scaled = selection.apply_scale and is_scaled(scene, selection.bands)
    for band, values in zip(selection.bands, sample.values, strict=True):
        nodata = usable_nodata(scene, band)
        if nodata is None or scene.palette is not None:
            continue
        stored = np.asarray(nodata).astype(scene.dtypes[band - 1]).astype(np.float64)
        if scaled:
            stored = stored * scene.scales[band - 1] + scene.offsets[band - 1]
        keep &= values != stored.astype(values.dtype)
    kept: NDArray[np.number] = sample.values[:, keep]
    return kept


def sample_warnings(scene: Scene, selection: BandSelection, sample: Sample, max_not_finite_share: float) -> list[str]:
    """List warnings about suspicious values.

    Raises:
        SceneError: If more than ``max_not_finite_share`` of the sample is NaN or infinite without being nodata.
    """
    warnings, looked_at = [], f"of {sample.pixels} pixels of a sample"
    if sample.not_finite:
        share = sample.not_finite / sample.pixels
        text = f"{scene.path}: {share:.1%} {looked_at} are NaN or infinite, which the file does not declare as nodata"
        if share > max_not_finite_share:
            raise SceneError(
                f"{text}; at most {max_not_finite_share:.1%} are accepted. Declare it (gdal_edit.py -a_nodata nan "
                "FILE), or set scene.max_nonfinite_share higher."
            )
        warnings.append(f"{text}. They are treated as nodata.")
    warnings += [f"{scene.path}: in a sample {text}." for text in _loss_warnings(scene, selection, sample) if text]
    if sample.values.shape[1] < 2:
        return warnings
    for band, values in zip(selection.bands, sample.values, strict=True):
        low, high = values.min(), values.max()
        stored = np.dtype(scene.dtypes[band - 1])
        if low == high:
            warnings.append(f"{scene.path}: band {band} holds {low:g} everywhere in a sample. Is it the right file?")
        elif stored.kind in "iu" and (full := np.mean(values == np.iinfo(stored).max)) > SATURATED_SHARE:
            warnings.append(
                f"{scene.path}: band {band} is saturated: {full:.0%} {looked_at} hold {high:g}, its largest value."
            )
    return warnings


def _loss_warnings(scene: Scene, selection: BandSelection, sample: Sample) -> Iterator[str]:
    """Describe why few pixels of a sample are valid, if so."""
    if not sample.values.shape[1]:
        if causes := describe_losses(scene, selection, sample.losses):
            yield f"no pixel is valid: {causes}"
    elif text := nodata_rule_warning(selection, sample.losses, sample.values.shape[1]):
        yield f"{text}: {describe_losses(scene, selection, sample.losses)}"


def _windows(scene: Scene, bounds: Window) -> list[Window]:
    height, width = bounds.shape
    if bounds.pixels <= (WINDOWS_PER_SIDE * WINDOW_PX) ** 2:
        return [bounds]
    # With large strips or tiles each window decodes much of the file.
    count = WINDOWS_PER_SIDE if read_amplification(scene) <= HIGH_AMPLIFICATION else 1
    return [
        Window(bounds.row + row, bounds.col + col, min(height, WINDOW_PX), min(width, WINDOW_PX))
        for row in _starts(height, count)
        for col in _starts(width, count)
    ]


def _starts(size: int, count: int) -> list[int]:
    """Distinct first pixels of windows in the middle of each of ``count`` equal parts of an axis."""
    starts = (int((part + 0.5) * size / count) - WINDOW_PX // 2 for part in range(count))
    return sorted({max(0, min(start, size - WINDOW_PX)) for start in starts})
