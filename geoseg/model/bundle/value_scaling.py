"""Translate ``value_scaling`` of the STAC Machine Learning Model extension into steps of `geoseg.model.bundle.scaling`.

The meaning is the extension's (README, "Value Scaling Object"): offset subtracts its value, scale divides by it. One
object applies to all bands, or each band has its own; null leaves a band as it is.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import TypeAdapter

from geoseg.model.bundle.scaling import MAX_NUMBER, Step

TYPES: Mapping[str, tuple[str, ...]] = {
    "min-max": ("minimum", "maximum"),
    "z-score": ("mean", "stddev"),
    "clip": ("minimum", "maximum"),
    "clip-min": ("minimum",),
    "clip-max": ("maximum",),
    "offset": ("value",),
    "scale": ("value",),
}
"""The types that are read, and their numbers."""
_SAME: Mapping[str, Callable[..., dict[str, Any]]] = {
    "min-max": lambda minimum, maximum: {"type": "min-max", "minimum": minimum, "maximum": maximum},
    "z-score": lambda mean, stddev: {"type": "z-score", "mean": mean, "stddev": stddev},
    "clip": lambda minimum, maximum: {"type": "clip", "minimum": minimum, "maximum": maximum},
    "clip-min": lambda minimum: {"type": "clip", "minimum": minimum, "maximum": MAX_NUMBER},
    "clip-max": lambda maximum: {"type": "clip", "minimum": -MAX_NUMBER, "maximum": maximum},
    "offset": lambda value: {"type": "subtract", "value": value},
    "scale": lambda value: {"type": "divide", "value": value},
}
"""The step for bands that all have one type, from its numbers or from lists of one number for each band."""
_LINEAR: Mapping[str, Callable[..., tuple[float, float]]] = {
    "min-max": lambda minimum, maximum: (minimum, maximum - minimum),
    "z-score": lambda mean, stddev: (mean, stddev),
    "offset": lambda value: (value, 1.0),
    "scale": lambda value: (0.0, value),
}
"""Types that are ``(x - a) / b``: a and b of one band."""
_CLIPS: Mapping[str, Callable[..., tuple[float, float]]] = {
    "clip": lambda minimum, maximum: (minimum, maximum),
    "clip-min": lambda minimum: (minimum, MAX_NUMBER),
    "clip-max": lambda maximum: (-MAX_NUMBER, maximum),
}
"""Types that limit values: the limits of one band."""
NOTHING = ""
"""Type of null: the band stays as it is."""


def take_value_scaling(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a ``model.json`` with its ``value_scaling`` as steps in ``geoseg:scaling``.

    Raises:
        ValueError: If it cannot be translated, or contradicts a ``geoseg:scaling`` that is there, too.
    """
    inputs = document.get("mlm:input")
    first = inputs[0] if isinstance(inputs, list) and inputs else {}
    objects, bands = (first.get(key) if isinstance(first, dict) else None for key in ("value_scaling", "bands"))
    if not objects or not isinstance(bands, list):
        return dict(document)
    steps, own = translate(objects, len(bands)), document.get("geoseg:scaling")
    if own is not None and _parse(own, len(bands)) != _parse(steps, len(bands)):
        raise ValueError(
            f"mlm:input.0.value_scaling means {json.dumps(steps)}, and geoseg:scaling says {json.dumps(own)}. Remove "
            "one of them."
        )
    return {**document, "geoseg:scaling": steps}


def _parse(steps: Any, bands: int) -> list[dict[str, Any]]:
    """Steps with one number for each band, to compare them."""
    parsed = TypeAdapter(list[Step]).validate_python(steps)
    return [
        {name: value if name == "type" or isinstance(value, list) else [value] * bands for name, value in step}
        for step in parsed
    ]


def translate(objects: Any, bands: int) -> list[dict[str, Any]]:
    """Translate value scaling objects into steps.

    Args:
        objects: The value of ``value_scaling``: one object or a list of them.
        bands: Number of bands of the input.

    Returns:
        Steps as they stand in ``geoseg:scaling``. Bands of different types are first clipped, then normalised.

    Raises:
        ValueError: If it has another form, or a type that is not a formula of numbers.
    """
    entries = objects if isinstance(objects, list) else [objects]
    if len(entries) not in (1, bands):
        raise ValueError(
            f"value_scaling has {len(entries)} objects for {bands} bands. Give one for all bands or one for each."
        )
    checked = [_check(entry, index) for index, entry in enumerate(entries)]
    kinds = {kind for kind, _ in checked}
    if kinds == {NOTHING}:
        return []
    if len(checked) == 1:
        kind, numbers = checked[0]
        return [_SAME[kind](**numbers)]
    if len(kinds) == 1:
        kind = kinds.pop()
        return [_SAME[kind](**{name: [numbers[name] for _, numbers in checked] for name in TYPES[kind]})]
    steps = []
    if kinds & _CLIPS.keys():
        limits = [_CLIPS.get(kind, _no_limits)(**numbers) for kind, numbers in checked]
        steps.append(_SAME["clip"](*map(list, zip(*limits, strict=True))))
    if kinds & _LINEAR.keys():
        # A z-score is (x - a) / b, whatever a and b mean.
        places = [_LINEAR.get(kind, _unchanged)(**numbers) for kind, numbers in checked]
        steps.append(_SAME["z-score"](*map(list, zip(*places, strict=True))))
    return steps


def _no_limits(**_: float) -> tuple[float, float]:
    return -MAX_NUMBER, MAX_NUMBER


def _unchanged(**_: float) -> tuple[float, float]:
    return 0.0, 1.0


def _check(entry: Any, index: int) -> tuple[str, dict[str, float]]:
    """Type and numbers of an object; an empty type for null."""
    if entry is None:
        return NOTHING, {}
    kind = str(entry.get("type")) if isinstance(entry, dict) else type(entry).__name__
    where = f"value_scaling.{index}"
    if kind == "processing":
        raise ValueError(
            f"{where} is an expression, which geoseg does not run. Write it as steps of geoseg:scaling and remove "
            "value_scaling, or compute it inside the network before the export."
        )
    if kind not in TYPES:
        raise ValueError(f"{where} has the type {kind!r}; the types are {', '.join(TYPES)}.")
    numbers = {name: value for name, value in entry.items() if name != "type"}
    strange = sorted(numbers.keys() ^ set(TYPES[kind]))
    if strange or not all(isinstance(value, int | float) and not isinstance(value, bool) for value in numbers.values()):
        raise ValueError(f"{where} of the type {kind} has {numbers}; it has the numbers {', '.join(TYPES[kind])}.")
    return kind, numbers
