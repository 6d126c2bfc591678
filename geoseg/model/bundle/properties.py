"""Refuse properties of a ``model.json`` that would change pixels or classes and that geoseg does not support.

Ignoring them would give a wrong map without an error, since a network also returns classes for pixels that differ from
its training data. Properties that only describe a model are allowed.
"""

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

SCALING = ("value_scaling", "norm_type", "norm_clip", "norm_with_clip_values", "statistics")
"""Properties that scale raw values, in all versions of MLM."""
OTHER_STEPS = {
    "pre_processing_function": "Do it in steps of geoseg:scaling, or inside the network before it is exported",
    "post_processing_function": "Use geoseg:activation, or do it inside the network before it is exported",
    "resize_type": "Remove it: patches are cut at the scene's resolution, of the size in input.shape, and not resized",
    "expression": "Put the computed band into the scene, and name it in mlm:input.bands",
    "scale": "Write it as a step of geoseg:scaling",
    "offset": "Write it as a step of geoseg:scaling",
}
"""Other properties of MLM and of its bands that change a network's input or output, with the remedy."""
OF_INPUT = ("name", "description", "bands", "input", "norm_by_channel")
OF_TENSOR = ("shape", "dim_order", "data_type", "description")
OWN = ("artifact", "arguments", "scaling", "nodata_fill", "overlap_px", "size_multiple", "activation")
"""geoseg's own properties, with the prefix ``geoseg:``, at the top level."""
REFERENCE = "configs/BUNDLE.md"
_STEPS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "min-max": {"minimum": ("minimum", "min"), "maximum": ("maximum", "max")},
    "z-score": {"mean": ("mean",), "stddev": ("stddev", "std")},
    "clip": {"minimum": ("minimum", "min"), "maximum": ("maximum", "max")},
    "offset": {"value": ("value",)},
    "scale": {"value": ("value",)},
}
"""Steps that MLM and geoseg share: their parameters, and the names of these in the versions of MLM."""


def check_properties(document: Mapping[str, Any]) -> None:
    """Refuse properties that would change a pixel or a class and are not supported.

    Args:
        document: The content of ``model.json``.

    Raises:
        ValueError: If there are any; the message names each with its position and the remedy.
    """
    if problems := list(_problems(document)):
        raise ValueError(" ".join(dict.fromkeys(problems)))


def _problems(document: Mapping[str, Any]) -> Iterator[str]:
    properties = document.get("properties")
    if isinstance(properties, dict) and "mlm:name" in properties and "mlm:name" not in document:
        yield "This is a STAC Item. Write its properties at the top of the file, beside those of geoseg's own."
    yield from _misspelled_names(document)
    for place, level in (("", document), ("properties.", properties)):
        if not isinstance(level, dict):
            continue
        yield from _unsupported(level, place)
        for key in ("mlm:input", "mlm:output"):
            entries = level.get(key)
            for index, entry in enumerate(entries if isinstance(entries, list) else ()):
                if isinstance(entry, dict):
                    yield from _of_entry(entry, f"{place}{key}.{index}.", is_input=key == "mlm:input")


def _misspelled_names(document: Mapping[str, Any]) -> Iterator[str]:
    """Properties with a wrong or missing prefix ``geoseg:`` or a misspelled name."""
    for key in document:
        prefix, _, bare = key.rpartition(":")
        if prefix != "geoseg" and bare in OWN and prefix in ("", "mlm"):
            yield f"{key} is not read. Write geoseg:{bare}."
        elif prefix == "geoseg" and bare not in OWN:
            near = difflib.get_close_matches(bare, OWN, n=1)
            meant = f"Did you mean geoseg:{near[0]}?" if near else f"{REFERENCE} lists those that are known."
            yield f"{key} is unknown. {meant}"


def _of_entry(entry: Mapping[str, Any], place: str, *, is_input: bool) -> Iterator[str]:
    """Problems of an input or an output."""
    name, bands = "input" if is_input else "result", entry.get("bands")
    parts = {place: entry, f"{place}{name}.": entry.get(name)}
    parts |= {f"{place}bands.{index}.": band for index, band in enumerate(bands if isinstance(bands, list) else ())}
    levels = {where: part for where, part in parts.items() if isinstance(part, dict)}
    for where, level in levels.items():
        yield from _unsupported(level, where)
    for where, allowed in ((place, OF_INPUT), (f"{place}input.", OF_TENSOR)) if is_input else ():
        for key, value in levels.get(where, {}).items():
            if key not in (*allowed, *SCALING, *OTHER_STEPS) and not _is_own(key) and not _is_empty(value):
                yield (
                    f"{where}{key} is unknown, and geoseg cannot tell whether it changes pixels. If it does, write "
                    "geoseg:scaling; if not, move it to the top of the file."
                )


def _unsupported(level: Mapping[str, Any], place: str) -> Iterator[str]:
    """Known properties that are not supported; null and empty ones are ignored."""
    for key, value in level.items():
        bare = key.rpartition(":")[2]
        if place and _is_own(key):
            yield f"{place}{key} is not read there. Move it to the top of the file."
        elif _is_empty(value) or (bare in ("scale", "offset") and value == (1 if bare == "scale" else 0)):
            continue
        elif bare in SCALING and (bare != "statistics" or "bands" not in place):
            instead = _translate(level, bare)
            steps = f'as "geoseg:scaling": {instead}' if instead else f"as geoseg:scaling ({REFERENCE} lists its steps)"
            yield f"{place}{key} is not read. Write the scaling at the top of the file, {steps}, and remove {key}."
        elif bare in OTHER_STEPS:
            yield f"{place}{key} is not read. {OTHER_STEPS[bare]}, and remove {key}."


def _is_own(key: str) -> bool:
    return key.startswith("geoseg:")


def _is_empty(value: Any) -> bool:
    return value is None or value is False or value in ("", "none") or value in ([], {})


def _translate(level: Mapping[str, Any], key: str) -> str | None:
    """Translate MLM's scaling to steps of geoseg, in JSON; None if there is no equivalent or a number is missing."""
    if key in ("value_scaling", "mlm:value_scaling"):
        given = level.get("value_scaling", level.get("mlm:value_scaling"))
        entries = given if isinstance(given, list) else [given]
        kinds = [entry.get("type") for entry in entries if isinstance(entry, dict)]
    else:
        given = level.get("statistics")
        entries = given if isinstance(given, list) else [given]
        kinds = [level.get("norm_type")] * len(entries)
    numbers = _STEPS.get(str(kinds[0])) if kinds and len(set(map(str, kinds))) == 1 else None
    if numbers is None or not all(isinstance(entry, dict) for entry in entries):
        return None
    step: dict[str, Any] = {"type": kinds[0]}
    for name, spellings in numbers.items():
        candidates = (next((entry[s] for s in spellings if s in entry), None) for entry in entries)
        values = [value for value in candidates if isinstance(value, int | float)]
        if len(values) != len(entries):
            return None
        step[name] = _one_or_each(values)
    return json.dumps([step])


def _one_or_each(values: Sequence[float]) -> float | list[float]:
    return values[0] if len(set(values)) == 1 else list(values)
