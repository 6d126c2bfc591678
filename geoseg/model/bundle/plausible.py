"""Do a scene's values look like those that a model was trained on?"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.model.bundle.scaling import Affine, Clip, Log1p, MinMax, Offset, PerBand, Scale, Sigmoid, Step, ZScore

FAR = 20.0
"""A median this many standard deviations away is another unit of measurement, not a bright day."""
FAR_IN_RANGES = 4.0
"""The same in ranges: of a min-max, or of the unit that a plain factor such as 1 / 10000 leads to."""
FLAT = 0.03
"""A band that spreads over less than this has lost its content; stored in a unit a hundred times smaller it does."""
NARROW = 0.1
"""If all that a data type can hold spreads over less than this, the model was made for a wider type."""
NARROW_DEVIATIONS = 1.0
"""The same in standard deviations."""
SATURATED_SHARE = 0.5
"""Clouds, snow or water can fill a part of a scene; most of it saturated is another unit."""
SIGMOID_HIGH, SIGMOID_LOW = 4.6, -5.3
"""Beyond these a sigmoid gives more than 0.99, less than 0.005. Water is truly dark, which is no fault."""
REMEDY = "Are they in another unit? Give the scene in the unit that geoseg:scaling expects, or correct geoseg:scaling."


def judge_values(values: NDArray[np.number], bands: Sequence[str], steps: Sequence[Step]) -> list[str]:
    """Compare a sample with what a model's scaling implies; without any there is nothing to compare.

    Args:
        values: Raw values of some valid pixels, shape (C, N), in the data type that the scene is read in.
        bands: The model's names of the C bands.
        steps: The model's scaling.

    Returns:
        One sentence for each band whose values look like another unit.
    """
    if not steps or not values.shape[1]:
        return []
    sample = values.astype(np.float64)
    with np.errstate(all="ignore"):  # a step may have no value, or an infinite one
        faults = (
            _narrow(values.dtype, len(bands), steps),
            _far(sample, steps),
            _saturated(sample, steps),
            _flat(sample, steps),
        )
    warnings = []
    for band, raw, *found in zip(bands, sample, *faults, strict=True):
        if fault := next(filter(None, found), None):
            low, high = np.percentile(raw, (2, 98))
            warnings.append(f"values of band {band} (mostly {low:g} to {high:g}) {fault} {REMEDY}")
    return warnings


def warn_unscaled(name: str, steps: Sequence[Step]) -> list[str]:
    """Say of a bundle without scaling that it has none."""
    if steps:
        return []
    text = (
        f"{name} states no scaling, so the network gets the numbers of the file as they are. If it was trained on "
        "others, write geoseg:scaling in its model.json; if not, say so there: "
        '"geoseg:scaling": [{"type": "scale", "value": 1}].'
    )
    return [text]


def _far(sample: NDArray[np.float64], steps: Sequence[Step]) -> list[str]:
    """Bands whose median is far from what the statistics, or a plain factor, lead to."""
    part, limit = _judged(steps)
    warnings = []
    for found in scale_values(sample, part):
        known = found[np.isfinite(found)]
        low, median, high = np.percentile(known, (2, 50, 98)) if known.size and part else (0, 0, 0)
        far = abs(median) > limit
        warnings.append(
            f"become {low:.3g} to {high:.3g} when scaled, far from what the model was trained on." if far else ""
        )
    return warnings


def _flat(sample: NDArray[np.float64], steps: Sequence[Step]) -> list[str]:
    """Bands that hardly differ after the statistics; behind a plain factor a dark band alone is no fault, all are."""
    part, _ = _judged(steps)
    scaled = scale_values(sample, part)
    finite = scaled[np.isfinite(scaled)]
    together = np.ptp(finite) if finite.size else 0.0
    warnings = []
    for raw, found in zip(sample, scaled, strict=True):
        known = found[np.isfinite(found)]
        low, high = np.percentile(known, (2, 98)) if known.size else (0, 0)
        spread = high - low if _has_statistics(steps) else together
        flat = bool(part) and known.size > 0 and np.ptp(np.percentile(raw, (2, 98))) > 0 and spread < FLAT
        warnings.append(
            f"become {low:.3g} to {high:.3g} when scaled, so they hardly differ for the model." if flat else ""
        )
    return warnings


def _narrow(dtype: np.dtype[Any], bands: int, steps: Sequence[Step]) -> list[str]:
    """Bands for which all that the data type can hold becomes nearly the same."""
    if dtype.kind not in "iu":
        return [""] * bands
    limits = np.iinfo(dtype)
    statistics = [step for step in steps if isinstance(step, MinMax | ZScore)]
    least = NARROW_DEVIATIONS if statistics and isinstance(statistics[-1], ZScore) else NARROW
    part = _judged(steps)[0] if statistics else steps
    ends = scale_values(np.tile([float(limits.min), float(limits.max)], (bands, 1)), part)
    whole = f"are {dtype}, of which all from {limits.min} to {limits.max}"
    return [
        f"{whole} become {low:.3g} to {high:.3g} when scaled, so they hardly differ for the model."
        if abs(high - low) < least
        else ""
        for low, high in ends
    ]


def _saturated(sample: NDArray[np.float64], steps: Sequence[Step]) -> list[str]:
    """Bands that a bounded step, a sigmoid or a clip, makes mostly one value."""
    warnings = [""] * len(sample)
    for place, step in enumerate(steps):
        if not isinstance(step, Sigmoid | Clip):
            continue
        before = scale_values(sample, steps[:place])
        if isinstance(step, Sigmoid):
            beyond = (before > SIGMOID_HIGH) | (before < SIGMOID_LOW)
        else:
            beyond = (before < _column(step.minimum)) | (before > _column(step.maximum))
        for band, share in enumerate(beyond.mean(axis=1)):
            if share > SATURATED_SHARE:
                warnings[band] = f"are saturated by the {step.type} of the scaling in {share:.0%} of a sample."
    return warnings


def _judged(steps: Sequence[Step]) -> tuple[Sequence[Step], float]:
    """The part of a chain after which values are known to be of order one, and how far from it is too far."""
    places = [place for place, step in enumerate(steps) if isinstance(step, MinMax | ZScore)]
    if places:
        return steps[: places[-1] + 1], FAR if isinstance(steps[places[-1]], ZScore) else FAR_IN_RANGES
    linear = all(isinstance(step, Scale | Offset | Affine | Clip) for step in steps)
    factors = [
        np.max(np.abs(s.value if isinstance(s, Scale) else s.scale)) for s in steps if isinstance(s, Scale | Affine)
    ]
    # Without a factor below one nothing tells which unit the network wants.
    return (steps, FAR_IN_RANGES) if linear and np.prod(factors) < 1 else ((), np.inf)


def _has_statistics(steps: Sequence[Step]) -> bool:
    return any(isinstance(step, MinMax | ZScore) for step in steps)


def scale_values(values: NDArray[np.float64], steps: Sequence[Step]) -> NDArray[np.float64]:
    """`geoseg.model.bundle.scaling.scale_pixels` in float64 without torch, to look at a few values; shape (C, N)."""
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
