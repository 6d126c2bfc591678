"""Check whether a scene's values are plausible for a model's scaling."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.model.bundle.scaling import Affine, Clip, Divide, MinMax, Sigmoid, Step, Subtract, ZScore, apply_steps

FAR = 20.0
"""A median this many standard deviations away indicates another unit of measurement, not a bright scene."""
FAR_IN_RANGES = 4.0
"""The same in ranges of a min-max, or in units of a plain factor such as 1 / 10000."""
FLAT = 0.03
"""Minimum spread of a scaled band. Values in a unit a hundred times smaller fall below it."""
NARROW = 0.1
"""Minimum spread of the whole range of a data type; below it the model was made for a wider type."""
NARROW_DEVIATIONS = 1.0
"""The same in standard deviations."""
SATURATED_SHARE = 0.5
"""Clouds, snow or water can saturate a part of a scene; a larger share indicates another unit."""
SIGMOID_HIGH, SIGMOID_LOW = 4.6, -5.3
"""Beyond these a sigmoid gives more than 0.99 or less than 0.005. The lower limit tolerates dark water."""
_LIBRARY = SimpleNamespace(
    minimum=np.minimum, maximum=np.maximum, log1p=np.log1p, sigmoid=lambda x: 1 / (1 + np.exp(-x))
)
REMEDY = "Are they in another unit? Give the scene in the unit that geoseg:scaling expects, or correct geoseg:scaling."


def check_values(values: NDArray[np.number], bands: Sequence[str], steps: Sequence[Step]) -> list[str]:
    """Compare a sample with the range that a model's scaling implies; without scaling there is no check.

    Args:
        values: Raw values of some valid pixels, shape (C, N), in the scene's data type.
        bands: The model's names of the C bands.
        steps: The model's scaling.

    Returns:
        One sentence for each band whose values seem to be in another unit.
    """
    if not steps or not values.shape[1]:
        return []
    sample = values.astype(np.float64)
    with np.errstate(all="ignore"):  # a step can give NaN or infinity
        far, flat = _far_and_flat(sample, steps)
        faults = _narrow(values.dtype, len(bands), steps), far, _saturated(sample, steps), flat
    warnings = []
    for band, raw, *faults_of_band in zip(bands, sample, *faults, strict=True):
        if fault := next(filter(None, faults_of_band), None):
            low, high = np.percentile(raw, (2, 98))
            warnings.append(f"values of band {band} (mostly {low:g} to {high:g}) {fault} {REMEDY}")
    return warnings


def warn_unscaled(name: str, steps: Sequence[Step]) -> list[str]:
    """A warning if a bundle states no scaling."""
    if steps:
        return []
    text = (
        f"{name} states no scaling, so the network gets the numbers of the file as they are. If it was trained on "
        "others, write geoseg:scaling in its model.json; if not, say so there: "
        '"geoseg:scaling": [{"type": "affine"}].'
    )
    return [text]


def _far_and_flat(sample: NDArray[np.float64], steps: Sequence[Step]) -> tuple[list[str], list[str]]:
    """Bands that are far outside the range after the statistics or a plain factor, and bands with little spread there.

    After a plain factor bands are flat only if all are, since one may be dark.
    """
    part, limit = _normalising_part(steps)
    far, flat = [""] * len(sample), [""] * len(sample)
    scaled = scale_values(sample, part)
    all_finite = scaled[np.isfinite(scaled)]
    for place, band in enumerate(scaled):
        finite = band[np.isfinite(band)]
        if not part or not finite.size:
            continue
        low, median, high = np.percentile(finite, (2, 50, 98))
        become = f"become {low:.3g} to {high:.3g} when scaled"
        if abs(median) > limit:
            far[place] = f"{become}, far from what the model was trained on."
        spread = high - low if _has_statistics(steps) else np.ptp(all_finite)
        if spread < FLAT and np.ptp(np.percentile(sample[place], (2, 98))) > 0:
            flat[place] = f"{become}, so they hardly differ for the model."
    return far, flat


def _narrow(dtype: np.dtype[Any], bands: int, steps: Sequence[Step]) -> list[str]:
    """Bands for which the whole range of the data type scales to nearly one value."""
    if dtype.kind not in "iu":
        return [""] * bands
    limits = np.iinfo(dtype)
    statistics = [step for step in steps if isinstance(step, MinMax | ZScore)]
    least = NARROW_DEVIATIONS if statistics and isinstance(statistics[-1], ZScore) else NARROW
    part = _normalising_part(steps)[0] if statistics else steps
    ends = scale_values(np.tile([float(limits.min), float(limits.max)], (bands, 1)), part)
    whole = f"are {dtype}, of which all from {limits.min} to {limits.max}"
    return [
        f"{whole} become {low:.3g} to {high:.3g} when scaled, so they hardly differ for the model."
        if abs(high - low) < least
        else ""
        for low, high in ends
    ]


def _saturated(sample: NDArray[np.float64], steps: Sequence[Step]) -> list[str]:
    """Bands that a sigmoid or a clip saturates."""
    warnings = [""] * len(sample)
    for place, step in enumerate(steps):
        if not isinstance(step, Sigmoid | Clip):
            continue
        before = scale_values(sample, steps[:place])
        if isinstance(step, Sigmoid):
            beyond = (before > SIGMOID_HIGH) | (before < SIGMOID_LOW)
        else:
            low, high = (np.reshape(limit, (-1, 1)) for limit in (step.minimum, step.maximum))
            beyond = (before < low) | (before > high)
        for band, share in enumerate(beyond.mean(axis=1)):
            if share > SATURATED_SHARE:
                warnings[band] = f"are saturated by the {step.type} of the scaling in {share:.0%} of a sample."
    return warnings


def _normalising_part(steps: Sequence[Step]) -> tuple[Sequence[Step], float]:
    """The part of a chain after which values are of order one, and the limit for their median."""
    places = [place for place, step in enumerate(steps) if isinstance(step, MinMax | ZScore)]
    if places:
        return steps[: places[-1] + 1], FAR if isinstance(steps[places[-1]], ZScore) else FAR_IN_RANGES
    linear = all(isinstance(step, Divide | Subtract | Affine | Clip) for step in steps)
    factors = [
        np.max(np.abs(step.scale if isinstance(step, Affine) else np.divide(1, step.value)))
        for step in steps
        if isinstance(step, Affine | Divide)
    ]
    # Without a factor below one the network's unit is unknown.
    return (steps, FAR_IN_RANGES) if linear and np.prod(factors) < 1 else ((), np.inf)


def _has_statistics(steps: Sequence[Step]) -> bool:
    return any(isinstance(step, MinMax | ZScore) for step in steps)


def scale_values(values: NDArray[np.float64], steps: Sequence[Step]) -> NDArray[np.float64]:
    """Apply a model's scaling to a few values without torch; float64, shape (C, N)."""
    with np.errstate(all="ignore"):
        scaled: NDArray[np.float64] = apply_steps(values, steps, _LIBRARY, lambda numbers: np.array(numbers)[:, None])
    return scaled
