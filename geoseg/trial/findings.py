"""What a wrong scaling, order of bands or activation would look like in a trial. Each finding is a measurement.

Confidence alone tells little: a network is often surer of pixels that it was not made for. So the order of the bands is
judged by the statistics of ``geoseg:scaling`` where it has any.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from geoseg.model.bundle.bundle import Bundle
from geoseg.model.bundle.files import MODEL_FILE
from geoseg.model.bundle.scaling import Step, ZScore
from geoseg.model.bundle.value_checks import check_values, scale_values
from geoseg.trial.trial import Trial, exchange

ONE_CLASS = 0.99
"""Share of the pixels that land cover with several classes seldom has in places spread over a scene."""
FITS_BETTER = 2.0
"""Ratio of deviations from the scaling's statistics: at least 4 on the demo's landscape with its bands reversed or
rotated, at most 1.1 on all real scenes tried with the right order."""
SLIGHTLY_BETTER = 1.2
"""The same of squared deviations, with red and blue exchanged: 1.45 on that landscape, at most 1.1 on real scenes."""
SMALL_GAIN = 0.01
"""Gain of mean confidence with which the latter counts."""
GAIN, LEAST_GAIN = 0.05, 0.02
"""Gain of confidence that counts alone: mean, and at every site. Networks lose by an exchange on scenes for which they
were made."""
CERTAIN = 0.99
"""Share of pixels that are certain. On scenes for which a network was made it doubts at least where classes meet."""
MAX_BANDS = 64
"""Most bands whose order is judged."""
CLIPPED_AT = 5.0
"""Standard deviations beyond which all deviations count as one, so that a cloud does not outweigh the rest."""


def findings(bundle: Bundle, trial: Trial, scene_bands: Sequence[int], *, activation_known: bool = False) -> list[str]:
    """Sentences for the user; none if nothing looks wrong.

    If values are in another unit (`check_values`, which reports it), everything else follows from that and is left out.

    Args:
        bundle: The bundle.
        trial: What it gives.
        scene_bands: Bands of the scene that were its input, from 1.
        activation_known: A wrong activation was reported already.
    """
    if check_values(trial.sample, bundle.bands, bundle.file.scaling):
        return []
    activation = None if activation_known else _activation(bundle, trial)
    found = _band_order(bundle, trial, scene_bands), activation, _monotony(bundle, trial)
    return [text for text in found if text is not None]


def _activation(bundle: Bundle, trial: Trial) -> str | None:
    """The highest confidence is not above what an activation makes of values between 0 and 1."""
    classes, activation = len(bundle.legend), bundle.file.activation
    if classes == 1:
        return None
    # A softmax of 1 and zeros, or a sigmoid of 1. An activation inside the network may be either.
    most = math.e / (math.e + classes - 1) if activation != "sigmoid" else 1 / (1 + math.exp(-1))
    if trial.highest > most + 0.5 / 255:
        return None
    name = "sigmoid" if activation == "sigmoid" else "softmax"
    remedy = (
        "The network seems to apply it twice itself: export it without the second"
        if activation == "none"
        else f"Set geoseg:activation to none in {bundle.path / MODEL_FILE} if the network applies it itself"
    )
    return (
        f"no pixel has a confidence above {trial.highest:.2f}, and a {name} of values between 0 and 1 reaches at most "
        f"{most:.2f}: {name} looks applied twice. {remedy}."
    )


def _monotony(bundle: Bundle, trial: Trial) -> str | None:
    """One class, or certainty, nearly everywhere. Of two classes one is often absent, such as clouds."""
    if len(bundle.legend) <= 2:
        return None
    share, certain = trial.pixels / trial.pixels.sum(), trial.certain / trial.pixels.sum()
    winner = int(share.argmax())
    if share[winner] >= ONE_CLASS:
        what = (
            f"{share[winner]:.1%} of the pixels are {bundle.legend.names[winner]}. If the scene shows more than that,"
        )
    elif certain >= CERTAIN:
        what = f"the confidence is 1 in {certain:.1%} of the pixels, as if classes met nowhere. Probably"
    else:
        return None
    return (
        f"{what} the network gets other numbers than in its training: compare geoseg:scaling and the order of "
        f"mlm:input bands in {bundle.path / MODEL_FILE} with the training."
    )


def _band_order(bundle: Bundle, trial: Trial, scene_bands: Sequence[int]) -> str | None:
    """Another order of the bands that fits the statistics of the scaling better, or of which the network is surer."""
    count = len(bundle.bands)
    part = _up_to_statistics(bundle.file.scaling) if count <= MAX_BANDS else ()
    deviations = _deviations(trial.sample, part) if part else None
    if deviations is not None:
        cost = np.nanmedian(deviations, axis=2)
        _, best = linear_sum_assignment(cost)
        own, least = float(np.trace(cost)) / count, float(cost[np.arange(count), best].sum()) / count
        if own > FITS_BETTER * least:
            return (
                "the bands of the scene fit the statistics of geoseg:scaling better in another order. As they are they "
                f"lie {own:.1f} standard deviations from the means; with {_order(bundle, best)} {least:.1f}. "
                f"{_remedy(bundle, scene_bands, best)}"
            )
    order = exchange(bundle.bands)
    if order is None:
        return None
    gains, fits, also = trial.exchanged, min(trial.exchanged) > LEAST_GAIN and np.mean(trial.exchanged) > GAIN, ""
    if deviations is not None:
        squares = np.nanmean(np.minimum(deviations, CLIPPED_AT) ** 2, axis=2)
        better = np.trace(squares) > SLIGHTLY_BETTER * squares[np.arange(count), order].sum()
        fits, also = (
            better and np.mean(gains) > SMALL_GAIN,
            ", and the pixels fit the statistics of geoseg:scaling better",
        )
    if not fits:
        return None
    return (
        f"the network is surer with {_order(bundle, order)}: the mean confidence is then "
        f"{trial.mean_confidence + np.mean(gains):.3f} instead of {trial.mean_confidence:.3f}{also}. "
        f"{_remedy(bundle, scene_bands, order)}"
    )


def _order(bundle: Bundle, order: Sequence[int]) -> str:
    """Which pixels are fed as which band, where that changes."""
    moved = ((bundle.bands[place], bundle.bands[other]) for place, other in enumerate(order) if place != other)
    return ", ".join(f"{other} as {band}" for band, other in moved)


def _remedy(bundle: Bundle, scene_bands: Sequence[int], order: Sequence[int]) -> str:
    numbers = ",".join(str(scene_bands[other]) for other in order)
    return (
        f"Compare the pictures with --set scene.bands={numbers}; if that is right, use it in runs, or correct the "
        f"order of mlm:input bands in {bundle.path / MODEL_FILE}."
    )


def _up_to_statistics(steps: Sequence[Step]) -> Sequence[Step]:
    """The chain up to its last z-score with numbers for each band; empty if there is none."""
    places = [place for place, step in enumerate(steps) if isinstance(step, ZScore) and isinstance(step.mean, list)]
    return steps[: places[-1] + 1] if places else ()


def _deviations(sample: NDArray[np.number], part: Sequence[Step]) -> NDArray[np.float64]:
    """Standard deviations between the pixels of each band and the mean of each place of the model's input.

    Returns:
        Shape (places, bands, N).
    """
    values = sample.astype(np.float64)
    each = [np.abs(scale_values(np.tile(band, (len(values), 1)), part)) for band in values]
    return np.stack(each, axis=1)
