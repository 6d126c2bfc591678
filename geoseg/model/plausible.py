"""Do a scene's values look like those that a model was trained on?"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geoseg.model.scaling import Affine, Clip, Log1p, MinMax, Offset, PerBand, Scale, Sigmoid, Step, ZScore

FAR = 20.0
"""A median this many standard deviations, or ranges, away is another unit of measurement, not a bright day."""
FLAT = 0.03
"""A band that spreads over less than this has lost its content; stored in a unit a hundred times smaller it does."""


def judge_values(values: NDArray[np.number], bands: Sequence[str], steps: Sequence[Step]) -> list[str]:
    """Compare a sample with the statistics in a model's scaling; without any there is nothing to compare.

    Args:
        values: Raw values of some valid pixels, shape (C, N).
        bands: The model's names of the C bands.
        steps: The model's scaling.

    Returns:
        One sentence for each band whose values look like another unit.
    """
    statistics = [place for place, step in enumerate(steps) if isinstance(step, MinMax | ZScore)]
    if not statistics or not values.shape[1]:
        return []
    told = []
    scaled = scale_values(values.astype(np.float64), steps[: statistics[-1] + 1])
    for band, raw, found in zip(bands, values, scaled, strict=True):
        known = found[np.isfinite(found)]
        if not known.size:
            continue
        low, median, high = np.percentile(known, (2, 50, 98))
        raw_low, raw_high = np.percentile(raw, (2, 98))
        text = f"values of band {band} (mostly {raw_low:g} to {raw_high:g}) become {low:.3g} to {high:.3g} when scaled"
        if abs(median) > FAR:
            told.append(f"{text}, far from what the model was trained on. Are they in another unit?")
        elif raw_low < raw_high and high - low < FLAT:
            told.append(f"{text}, so they hardly differ for the model. Are they in another unit?")
    return told


def scale_values(values: NDArray[np.float64], steps: Sequence[Step]) -> NDArray[np.float64]:
    """`geoseg.model.scaling.scale_pixels` in float64 without torch, to look at a few values; shape (C, N)."""
    with np.errstate(all="ignore"):
        for step in steps:
            match step:
                case Scale():
                    values = values * _column(step.value)
                case Offset():
                    values = values + _column(step.value)
                case Clip():
                    values = np.clip(values, _column(step.minimum), _column(step.maximum))
                case MinMax():
                    values = (values - _column(step.minimum)) / (_column(step.maximum) - _column(step.minimum))
                case ZScore():
                    values = (values - _column(step.mean)) / _column(step.stddev)
                case Affine():
                    values = values * _column(step.scale) + _column(step.offset)
                case Log1p():
                    values = np.log1p(values)
                case Sigmoid():
                    values = 1 / (1 + np.exp(-values))
    return values


def _column(value: PerBand) -> NDArray[np.float64]:
    return np.reshape(np.asarray(value, np.float64), (-1, 1))
