"""Find the quality band of a scene, and check that it says something about the scene."""

import glob
import re
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.config import SceneSettings
from geoseg.errors import SceneError
from geoseg.grid.window import Grid, Window
from geoseg.quality_settings import QualitySettings
from geoseg.raster.source.scene import Scene, describe
from geoseg.raster.validity.lookup import find_pixels
from geoseg.raster.validity.quality import Quality

PRESETS: dict[str, dict[str, tuple[int, ...]]] = {
    # No data, saturated or defective, cloud shadow, cloud of medium and high probability, thin cirrus.
    "s2-scl": {"invalid": (0, 1, 3, 8, 9, 10)},
    # Fill, dilated cloud, cirrus, cloud, cloud shadow.
    "landsat-qa": {"bits": (0, 1, 2, 3, 4)},
}
"""Sentinel-2 L2A: scene classification layer; Landsat Collection 2: QA_PIXEL."""
SCL_CLASSES = 12
FINEST = 1 / 16
"""Smallest side of a quality pixel, in pixels of the scene: finer ones would cost more than the scene."""
SAMPLES = 4
SAMPLE_PX = 96
SHOWN = 12
_WHOLE_NAME = re.compile(r"/|\w+://")
_BAND = re.compile(r"(.*)#([0-9]+)", re.DOTALL)


def find_quality(scene: Scene, settings: SceneSettings, within: Window) -> tuple[Quality, list[str]]:
    """Find and check the quality band that ``scene.quality`` names for a scene.

    Args:
        scene: The scene.
        settings: Its settings, with a ``quality``.
        within: Window of the scene that the quality band must cover.

    Returns:
        The quality band, and warnings.

    Raises:
        SceneError: If there is no such file or band, or it does not cover the scene or cannot be what was stated.
    """
    wanted = settings.quality
    if wanted is None or wanted.file is None:
        raise ValueError("scene.quality.file is not set.")
    file, band = split_band(wanted.file)
    try:
        source = scene if not file else describe(_path(file, scene), how_described(settings, scene.grid.crs))
    except SceneError as error:
        raise SceneError(f"{scene.path}: its quality band (scene.quality.file={wanted.file}): {error}") from error
    return check_quality(scene, source, band, wanted, within)


def check_quality(
    scene: Scene, source: Scene, band: int | None, wanted: QualitySettings, within: Window | None
) -> tuple[Quality, list[str]]:
    """Check that a raster can be the quality band of a scene; arguments and result as of `find_quality`.

    Without ``within`` it need not cover anything.
    """
    if band is None and source.bands != 1:
        raise _error(scene, source, f"has {source.bands} bands. Write FILE#BAND in scene.quality.file")
    if band is not None and not 1 <= band <= source.bands:
        raise _error(scene, source, f"has {source.bands} bands, counted from 1, and no band {band}")
    quality = quality_of(scene.grid, source, band or 1, wanted)
    _check_type(quality, wanted, np.dtype(source.dtypes[quality.band - 1]), scene)
    if within is not None:
        _check_cover(quality, within, scene)
    return quality, _check_values(quality, wanted, scene)


def quality_of(grid: Grid, source: Scene, band: int, wanted: QualitySettings) -> Quality:
    """A quality band by the rule of the settings, unchecked.

    Args:
        grid: Of the scene.
        source: The raster with the quality band.
        band: The band, counted from 1.
        wanted: The rule.
    """
    rule: dict[str, Any] = PRESETS.get(wanted.preset or "", {"invalid": wanted.invalid, "bits": wanted.bits})
    return Quality(grid, source, band, **rule, grow_px=wanted.grow_px)


def how_described(settings: SceneSettings, crs: str) -> SceneSettings:
    """How a quality band is described: with the permissions of the scene, and its CRS where the raster has none."""
    return SceneSettings(
        remote=settings.remote,
        allow_private_hosts=settings.allow_private_hosts,
        assume_crs=crs or None,
        allow_ungeoreferenced=not crs,
    )


def with_files(scene: Scene, source: Scene) -> Scene:
    """The scene with the files of its quality band, which decide its results as well."""
    new = [place for place, file in enumerate(source.files) if file not in scene.files]
    return replace(
        scene,
        files=(*scene.files, *(source.files[place] for place in new)),
        versions=(*scene.versions, *(source.versions[place] for place in new)),
    )


def split_band(name: str) -> tuple[str, int | None]:
    """Split ``FILE#BAND`` into file and band; the band is None if the name has none."""
    found = _BAND.fullmatch(name)
    return (found[1], int(found[2])) if found else (name, None)


def _path(pattern: str, scene: Scene) -> str:
    """The file for a scene: relative to its folder, with ``{stem}``, or with ``*`` for one local file."""
    name = re.sub(r"^(?:GTIFF_DIR|NITF_IM):\d+:", "", scene.path)
    name = name.removeprefix("/vsicurl/").replace("/vsis3/", "s3://", 1).partition("?")[0] if scene.remote else name
    folder, _, last = name.rpartition("/")
    if scene.composite is not None and ("{stem}" in pattern or not _WHOLE_NAME.match(pattern)):
        raise SceneError(
            f"{pattern} is relative to a file, and {scene.path} is made of several. Give the whole path of one file "
            "that covers the mosaic, such as a VRT."
        )
    pattern = pattern.replace("{stem}", PurePosixPath(last).stem)
    path = pattern if _WHOLE_NAME.match(pattern) else f"{folder}/{pattern}"
    if not glob.has_magic(path) or Path(path).exists() or "://" in path:
        return path
    found = sorted(glob.glob(path))  # noqa: PTH207  pathlib does not take absolute patterns
    if len(found) != 1:
        listed = f": {', '.join(found[:3])}{' ...' * (len(found) > 3)}" if found else ""
        raise SceneError(f"{path} matches {len(found) or 'no'} files{listed}. It must match one for each scene.")
    return found[0]


def _check_type(quality: Quality, wanted: QualitySettings, dtype: np.dtype[Any], scene: Scene) -> None:
    if quality.bits and (dtype.kind not in "iu" or max(quality.bits) >= 8 * dtype.itemsize):
        raise _error(scene, quality.source, f"holds {dtype}, which has no bit {max(quality.bits)}")
    if wanted.preset == "landsat-qa" and dtype.itemsize < 2:
        raise _error(scene, quality.source, f"holds {dtype}, and QA_PIXEL of Landsat (landsat-qa) is uint16")
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        never = [v for v in quality.invalid if v != int(v) or not limits.min <= v <= limits.max]
        if never:
            raise _error(
                scene, quality.source, f"holds {dtype}, which is never {_listed(never)} (scene.quality.invalid)"
            )


def _check_cover(quality: Quality, within: Window, scene: Scene) -> None:
    """Refuse a raster of another place, or far finer than the scene. Half a pixel may be missing at its edge."""
    grid, other = quality.grid, quality.source.grid
    row, col, row_stop, col_stop = within.row, within.col, within.row_stop, within.col_stop
    edges = [Window(row, col, 1, within.width), Window(row_stop - 1, col, 1, within.width)]
    edges += [Window(row, col, within.height, 1), Window(row, col_stop - 1, within.height, 1)]
    inside = total = 0
    for edge in edges:
        rows, cols = find_pixels(grid, other, edge)
        covered = (rows >= -1) & (rows <= other.height) & (cols >= -1) & (cols <= other.width)
        inside += int(np.count_nonzero(covered))
        total += covered.size
    if inside < total:
        raise _error(
            scene,
            quality.source,
            f"covers {inside / total:.0%} of the edge of the scene. It must cover the scene"
            f"{' or its area of interest' if within != grid.window else ''}",
        )
    middle = Window(row + within.height // 2, col + within.width // 2, 1, 1)
    rows, cols = find_pixels(grid, other, Window(middle.row, middle.col, 2, 2))
    if max(np.ptp(rows), np.ptp(cols)) > 1 / FINEST:
        raise _error(
            scene, quality.source, f"is more than {1 / FINEST:g} times finer than the scene. Resample it first"
        )


def _check_values(quality: Quality, wanted: QualitySettings, scene: Scene) -> list[str]:
    """Check the values of a sample: those of a preset must be possible; of other rules some should occur."""
    values = _sample(quality)
    seen = np.unique(values)
    if wanted.preset == "s2-scl" and (odd := seen[(seen < 0) | (seen >= SCL_CLASSES)]).size:
        raise _error(
            scene,
            quality.source,
            f"holds {_listed(odd.tolist())}, and a scene classification (s2-scl) holds 0 to {SCL_CLASSES - 1}. Check "
            "which band it is",
        )
    bad = quality.rules_out(seen)
    if wanted.preset is None and seen.size and not bad.any():
        rule = f"the values {_listed(quality.invalid)}" if quality.invalid else f"the bits {_listed(quality.bits)}"
        text = f"{scene.path}: none of {values.size:,} sampled pixels of its quality band {quality.source.path} has "
        text += f"{rule} of scene.quality; they hold {_listed(seen.tolist())}."
        return [f"{text} Unless the scene is clear, correct the rule."]
    return []


def _sample(quality: Quality) -> NDArray[np.number]:
    """Known values of up to 16 windows of the quality raster; a small one is read whole."""
    whole = quality.source.grid.window
    windows = [whole]
    if whole.pixels > (SAMPLES * SAMPLE_PX) ** 2:
        cut = min(SAMPLE_PX, whole.height), min(SAMPLE_PX, whole.width)
        windows = [Window(row, col, *cut) for row in _starts(whole.height) for col in _starts(whole.width)]
    read = [quality.read(window) for window in windows]
    return np.concatenate([values[known] for values, known in read])


def _starts(size: int) -> list[int]:
    return sorted(
        {max(0, min(int((n + 0.5) * size / SAMPLES) - SAMPLE_PX // 2, size - SAMPLE_PX)) for n in range(SAMPLES)}
    )


def _listed(values: Any) -> str:
    texts = [f"{value:g}" for value in values]
    return ", ".join(texts[:SHOWN]) + (f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else "")


def _error(scene: Scene, source: Scene, what: str) -> SceneError:
    return SceneError(f"{scene.path}: its quality band {source.path} {what}. Correct scene.quality.")
