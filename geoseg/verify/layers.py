"""Checks of the rasters beside the class map: same grid, same valid pixels, and agreement with each other."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geoseg.grid.decision import CONFIDENCE, MARGIN, PROBABILITIES
from geoseg.grid.fusion import DATES
from geoseg.grid.legend import NODATA_CLASS, NODATA_CONFIDENCE
from geoseg.grid.window import Grid, Window
from geoseg.publish.published_rasters import open_layers
from geoseg.raster.maps.class_map import STRIP_ROWS, raster_grid
from geoseg.store.manifest import Manifest, rasters_prefix
from geoseg.verify.check import Finding

PUBLISHED, SMOOTHING = "rasters.publish", "inference.smoothing_radius_px"
"""Keys of a fingerprint: the rasters beside the class map, and whether classes are those of neighbours."""


def published_layers(manifest: Manifest | None) -> tuple[str, ...]:
    """Names of the rasters that a scene has beside its class map."""
    facts = {} if manifest is None else manifest.fingerprint
    return (*facts.get(PUBLISHED, (CONFIDENCE,)), *((DATES,) if facts.get("scene.pick") == "fuse" else ()))


def check_layers(output: Path, scene: str, grid: Grid, manifest: Manifest | None) -> Iterator[Finding]:
    """Compare all rasters of a scene with its class map, and with the probabilities if there are any."""
    folder, sound = output / rasters_prefix(scene), []
    for name in published_layers(manifest):
        key, path = f"{rasters_prefix(scene)}/{name}.tif", folder / f"{name}.tif"
        if not path.exists():
            yield Finding("files", "files", key, "no file", f"the {name} of the class map", ok=False)
        elif (other := raster_grid(path)) != grid:
            found, wanted = (f"{g.height} x {g.width} px, transform {g.transform}" for g in (other, grid))
            yield Finding("independent", f"{name} map", key, found, f"{wanted}, as the class map", ok=False)
        else:
            sound.append(name)
            with open_layers(folder, ["classes", name]) as read:
                count, where = _count(grid, lambda w, read=read, name=name: _lone(read["classes"](w)[0], read[name](w)))  # type: ignore[misc]
            text = f"{count} pixels with a class or a {name} alone{where}"
            yield Finding("independent", f"{name} map", key, text, "0 pixels", ok=not count)
    if PROBABILITIES in sound:
        smoothed = bool(manifest and manifest.fingerprint.get(SMOOTHING))
        beside = [name for name in (CONFIDENCE, MARGIN) if name in sound]
        with open_layers(folder, ["classes", PROBABILITIES, *beside]) as read:
            count, where = _count(grid, lambda w: _contradiction({k: r(w) for k, r in read.items()}, smoothed=smoothed))
        text = f"{count} pixels whose probabilities contradict {', '.join(['the class', *beside])}{where}"
        key = f"{rasters_prefix(scene)}/{PROBABILITIES}.tif"
        yield Finding("independent", "agreement", key, text, "0 pixels", ok=not count)


def _count(grid: Grid, find: Callable[[Window], NDArray[np.bool_]]) -> tuple[int, str]:
    """Count pixels strip by strip, and say where the first one is."""
    count, where = 0, ""
    for row in range(0, grid.height, STRIP_ROWS):
        faults = find(Window(row, 0, min(STRIP_ROWS, grid.height - row), grid.width))
        if not count and faults.any():
            down, across = np.unravel_index(faults.argmax(), faults.shape)
            where = f", the first at row {row + int(down)}, column {int(across)}"
        count += int(np.count_nonzero(faults))
    return count, where


def _lone(classes: NDArray[np.uint8], layer: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels that have a class and no value in a band, or a value and no class."""
    blank, some = (layer == NODATA_CONFIDENCE).all(0), (layer == NODATA_CONFIDENCE).any(0)
    return np.asarray(((classes == NODATA_CLASS) != blank) | (some != blank))


def _contradiction(values: Mapping[str, NDArray[np.uint8]], *, smoothed: bool) -> NDArray[np.bool_]:
    """Valid pixels whose class is not that of the largest probability, or whose confidence or margin is another one.

    Probabilities are rounded, so the class may be any of equal ones, and a margin may differ by one.
    """
    classes, probabilities = values["classes"][0], values[PROBABILITIES]
    best = probabilities.max(0)
    wrong = np.zeros(classes.shape, bool)
    if not smoothed:
        known = classes < len(probabilities)  # an unsure pixel has the class after them
        own = np.take_along_axis(probabilities, np.where(known, classes, 0)[None].astype(np.intp), 0)[0]
        wrong |= known & (own != best)
    if CONFIDENCE in values:
        wrong |= values[CONFIDENCE][0] != best
    if MARGIN in values:
        second = np.sort(probabilities, 0)[-2] if len(probabilities) > 1 else np.zeros_like(best)
        wrong |= np.abs(values[MARGIN][0].astype(int) - np.maximum(best.astype(int) - second, 1)) > 1
    return np.asarray(wrong & (classes != NODATA_CLASS))
