"""Run a bundle on some places of a scene, as a run would."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoseg.grid.blend import ClassMap
from geoseg.grid.legend import NODATA_CLASS
from geoseg.grid.tiling import Lattice, Tiling
from geoseg.grid.window import Window
from geoseg.model.bundle.bundle import Bundle
from geoseg.model.predictor import Predictor
from geoseg.raster.band_names import find_colours
from geoseg.raster.bands import BandSelection
from geoseg.raster.source.scene import Scene
from geoseg.trial.sites import Site, read_sites

SHOWN_PX = 512
"""Longest side of what is kept of a site for the picture."""
SAMPLE_PIXELS = 4096
"""Most pixels of a site whose values are kept."""
CONFIDENCE_ONE = 255


class Shown(NamedTuple):
    """What the picture shows of a site, at most `SHOWN_PX` on a side."""

    window: Window
    """The site, in pixels of the scene."""
    colours: NDArray[np.float32]
    """Stored values for red, green and blue, shape (3, h, w)."""
    classes: NDArray[np.uint8]
    """Shape (h, w); 255 where the scene is not valid."""
    confidence: NDArray[np.uint8]
    """Probability of the class times 255, shape (h, w)."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What a model gives for some places of a scene."""

    pixels: NDArray[np.int64]
    """Pixels of each class, shape (K,)."""
    confidence: NDArray[np.float64]
    """Sum of the confidence of each class over its pixels, 0..1 each, shape (K,)."""
    highest: float
    """Highest confidence of a pixel, 0..1."""
    certain: int
    """Pixels with the highest confidence that there is: 1 as far as a byte tells."""
    exchanged: tuple[float, ...]
    """For each site, what the mean confidence gains if two bands are exchanged (`exchange`); empty if there are none to
    exchange."""
    sample: NDArray[np.number]
    """Stored values of some valid pixels, shape (C, N)."""
    shown: tuple[Shown, ...]
    """The sites."""

    @property
    def mean_confidence(self) -> float:
        """Mean confidence of all pixels."""
        return float(self.confidence.sum() / self.pixels.sum())


def try_bundle(bundle: Bundle, predictor: Predictor, scene: Scene, selection: BandSelection) -> Trial:
    """Run a bundle on whole patches spread over a scene.

    Each site is read, predicted and reduced before the next, so memory does not grow with the scene.

    Raises:
        SceneError: If the scene cannot be read, has no valid pixel, or gives logits that are not finite.
    """
    classes = len(bundle.legend)
    pixels, confidence = np.zeros(classes, np.int64), np.zeros(classes)
    highest, certain, gains, samples, shown = 0, 0, list[float](), list[NDArray[np.number]](), list[Shown]()
    order = exchange(bundle.bands)
    for site in read_sites(scene, selection, bundle.patch_px):
        found = _predict(predictor, site, site.pixels, scene.path)
        known = site.counted & (found.classes != NODATA_CLASS)
        own, sure = found.classes[known], found.confidence[known] / CONFIDENCE_ONE
        pixels += np.bincount(own, minlength=classes)
        confidence += np.bincount(own, sure, minlength=classes)
        highest = max(highest, int(found.confidence[known].max()))
        certain += int(np.count_nonzero(found.confidence[known] == CONFIDENCE_ONE))
        if order is not None:
            other = _predict(predictor, site, site.pixels[list(order)], scene.path)
            gains.append(float((other.confidence[known] / CONFIDENCE_ONE).mean() - sure.mean()))
        values = site.pixels[:, site.counted]
        samples.append(values[:, :: -(-values.shape[1] // SAMPLE_PIXELS)])
        shown.append(_reduce(site, found, bundle.bands))
    sample = np.concatenate(samples, axis=1)
    return Trial(pixels, confidence, highest / CONFIDENCE_ONE, certain, tuple(gains), sample, tuple(shown))


def exchange(bands: Sequence[str]) -> tuple[int, ...] | None:
    """Order of the bands with red and blue exchanged, or with the first and the third if they have other names.

    None if there are fewer than three.
    """
    if len(bands) < 3:
        return None
    first, _, third = find_colours(bands) or (0, 1, 2)
    order = list(range(len(bands)))
    order[first], order[third] = third, first
    return tuple(order)


def _predict(predictor: Predictor, site: Site, pixels: NDArray[np.number], source: str) -> ClassMap:
    """Classes of a site; its patches do not overlap, so each pixel has the scores of one."""
    patch_px = predictor.task.patch_px
    lattice = Lattice.of(site.window.shape, patch_px, 0)
    tiling = Tiling(lattice, -(-max(site.window.shape) // patch_px) * patch_px)
    return predictor.predict(tiling, tiling.block(0, 0), pixels, site.valid, source).scores.decided


def _reduce(site: Site, found: ClassMap, bands: Sequence[str]) -> Shown:
    step = -(-max(site.window.shape) // SHOWN_PX)
    coarse = slice(None, None, step), slice(None, None, step)
    colours = find_colours(bands) or ((0, 1, 2) if len(bands) >= 3 else (0, 0, 0))
    shown = site.pixels[list(colours)][:, *coarse].astype(np.float32)
    return Shown(site.window, shown, found.classes[coarse], found.confidence[coarse])
