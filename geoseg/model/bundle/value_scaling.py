"""Translate ``value_scaling`` of the STAC Machine Learning Model extension into steps of `geoseg.model.bundle.scaling`.

The meaning is the extension's (README, "Value Scaling Object"): offset subtracts its value, scale divides by it. One
object applies to all bands, or each band has its own; null leaves a band as it is.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from geoseg.model.bundle.scaling import MAX_NUMBER, Step

NUMBERS: Mapping[str, tuple[str, ...]] = {
    "min-max": ("minimum", "maximum"),
    "z-score": ("mean", "stddev"),
    "clip": ("minimum", "maximum"),
    "clip-min": ("minimum",),
    "clip-max": ("maximum",),
    "offset": ("value",),
    "scale": ("value",),
}
"""The types, and the names of their numbers."""
_STATISTICS = ("min-max", "z-score")
"""Types that geoseg:scaling has, too, and whose numbers tell what values a scene should have."""
NOTHING = ""
"""Type of a band that stays as it is."""


class _Effect(NamedTuple):
    """What an object does with a band: ``(clip(x, minimum, maximum) - subtract) / divide``."""

    minimum: float = -MAX_NUMBER
    maximum: float = MAX_NUMBER
    subtract: float = 0.0
    divide: float = 1.0


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
    if len(kinds) == 1 and kinds <= set(_STATISTICS):
        kind = kinds.pop()
        columns = {name: [numbers[name] for _, numbers in checked] for name in NUMBERS[kind]}
        return [{"type": kind, **{name: _one_or_each(column) for name, column in columns.items()}}]
    effects = [_effect(kind, numbers) for kind, numbers in checked]
    minimum, maximum, subtract, divide = (list(column) for column in zip(*effects, strict=True))
    neutral, steps = _Effect(), list[dict[str, Any]]()
    if any(effect[:2] != neutral[:2] for effect in effects):
        steps.append({"type": "clip", "minimum": _one_or_each(minimum), "maximum": _one_or_each(maximum)})
    if any(subtract):
        steps.append({"type": "subtract", "value": _one_or_each(subtract)})
    if any(number != neutral.divide for number in divide):
        steps.append({"type": "divide", "value": _one_or_each(divide)})
    return steps or [{"type": "affine"}]  # it says that nothing is to be done


def _effect(kind: str, numbers: Mapping[str, float]) -> _Effect:
    match kind:
        case "min-max":
            return _Effect(subtract=numbers["minimum"], divide=numbers["maximum"] - numbers["minimum"])
        case "z-score":
            return _Effect(subtract=numbers["mean"], divide=numbers["stddev"])
        case "offset":
            return _Effect(subtract=numbers["value"])
        case "scale":
            return _Effect(divide=numbers["value"])
        case _:
            return _Effect(**numbers)


def _one_or_each(numbers: list[float]) -> float | list[float]:
    return numbers[0] if len(numbers) == 1 else numbers


def _check(entry: Any, index: int) -> tuple[str, dict[str, float]]:
    """Type and numbers of an object; an empty type for null."""
    if entry is None or entry == {"type": None}:
        return NOTHING, {}
    kind = str(entry.get("type")) if isinstance(entry, dict) else type(entry).__name__
    where = f"value_scaling.{index}"
    if kind == "processing":
        raise ValueError(
            f"{where} is an expression, which geoseg does not run. Write it as steps of geoseg:scaling and remove "
            "value_scaling, or compute it inside the network before the export."
        )
    if kind not in NUMBERS:
        raise ValueError(f"{where} has the type {kind!r}; the types are {', '.join(NUMBERS)}.")
    numbers = {name: value for name, value in entry.items() if name != "type"}
    if numbers.keys() != set(NUMBERS[kind]) or not all(type(value) in (int, float) for value in numbers.values()):
        raise ValueError(f"{where} of the type {kind} has {numbers}; it has the numbers {', '.join(NUMBERS[kind])}.")
    if not all(abs(value) <= MAX_NUMBER for value in numbers.values()):
        raise ValueError(f"{where} of the type {kind} has a number beyond {MAX_NUMBER:g}.")
    if _effect(kind, numbers).divide == 0:
        raise ValueError(f"{where} of the type {kind} divides by zero.")
    return kind, numbers
