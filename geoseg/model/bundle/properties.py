"""Refuse properties of a ``model.json`` that would change pixels or classes and that geoseg does not support.

Ignoring them would give a wrong map without an error, since a network also returns classes for pixels that differ from
its training data. Properties that only describe a model are allowed.
"""

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Any

SCALING = ("norm_type", "norm_clip", "norm_with_clip_values", "statistics")
"""Properties that scaled raw values before MLM 1.4; today it is ``value_scaling`` of an input."""
OTHER_STEPS = {
    "pre_processing_function": "Do it in steps of geoseg:scaling, or inside the network before it is exported",
    "post_processing_function": "Use geoseg:activation, or do it inside the network before it is exported",
    "resize_type": "Remove it: patches are cut at the scene's resolution, of the size in input.shape, and not resized",
    "expression": "Put the computed band into the scene, and name it in mlm:input.bands",
    "scale": "Write it as a step of geoseg:scaling",
    "offset": "Write it as a step of geoseg:scaling",
}
"""Other properties of MLM and of its bands that change a network's input or output, with the remedy."""
OF_INPUT = ("name", "description", "bands", "input", "norm_by_channel", "value_scaling")
OF_TENSOR = ("shape", "dim_order", "data_type", "description")
OWN = ("artifact", "arguments", "scaling", "nodata_fill", "overlap_px", "size_multiple", "activation")
"""geoseg's own properties, with the prefix ``geoseg:``, at the top level."""
REFERENCE = "configs/BUNDLE.md"
_STATISTICS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "min-max": {"minimum": ("minimum", "min"), "maximum": ("maximum", "max")},
    "z-score": {"mean": ("mean",), "stddev": ("stddev", "std")},
}
"""Types of ``norm_type`` that ``value_scaling`` has, too: their numbers, and the names of these in ``statistics``."""
_ITEM = {
    *("type", "stac_version", "stac_extensions", "id", "collection", "geometry", "bbox"),
    *("properties", "links", "assets"),
}
"""Fields of a STAC Item that do not describe a model."""
_CHANGED_STEPS = {"scale": ("multiplied", "divides", "scale"), "offset": ("added", "subtracts", "offset")}
"""Former steps of geoseg:scaling that mean the opposite in MLM: what they did, what MLM does, the key of ``affine``."""


def of_item(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties of a STAC Item with what else stands at its top; other documents as they are.

    Raises:
        ValueError: If a key stands at both places with different values.
    """
    properties = document.get("properties")
    if not isinstance(properties, dict) or "mlm:name" not in properties:
        return dict(document)
    top = {key: value for key, value in document.items() if key not in _ITEM}
    if twice := sorted(key for key in top.keys() & properties.keys() if top[key] != properties[key]):
        raise ValueError(f"{twice[0]} stands at the top and in the properties of the Item, and differs. Remove one.")
    return {**top, **properties}


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
    yield from _misspelled_names(document)
    yield from _changed_steps(document.get("geoseg:scaling"))
    for place, level in (("", document), ("properties.", document.get("properties"))):
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


def _changed_steps(steps: Any) -> Iterator[str]:
    """Steps that geoseg:scaling no longer has."""
    for index, step in enumerate(steps if isinstance(steps, list) else ()):
        kind = step.get("type") if isinstance(step, dict) else None
        if isinstance(kind, str) and kind in _CHANGED_STEPS:
            did, does, name = _CHANGED_STEPS[kind]
            same = json.dumps({"type": "affine", name: step.get("value")})
            yield (
                f"geoseg:scaling.{index} has the type {kind}, which {did} in earlier versions, and MLM's {does}. "
                f"Write {same} to keep what it did."
            )


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
        elif bare == "value_scaling" and not (place.startswith("mlm:input.") and place.count(".") == 2 and key == bare):
            yield f"{place}{key} is not read there. Move it to mlm:input.0.value_scaling."
        elif bare in SCALING and (bare != "statistics" or "bands" not in place):
            instead = _translate(level) or f"or as geoseg:scaling; {REFERENCE} explains both"
            yield f"{place}{key} is not read. Write it as mlm:input.0.value_scaling {instead}, and remove {key}."
        elif bare in OTHER_STEPS:
            yield f"{place}{key} is not read. {OTHER_STEPS[bare]}, and remove {key}."


def _is_own(key: str) -> bool:
    return key.startswith("geoseg:")


def _is_empty(value: Any) -> bool:
    return value is None or value is False or value in ("", "none") or value in ([], {})


def _translate(level: Mapping[str, Any]) -> str | None:
    """Translate a ``norm_type`` and its statistics to a ``value_scaling``, in JSON; None if something is missing."""
    kind, statistics = level.get("norm_type"), level.get("statistics")
    entries = statistics if isinstance(statistics, list) else [statistics]
    names = _STATISTICS.get(str(kind))
    objects: list[dict[str, Any]] = []
    for entry in entries:
        if names is None or not isinstance(entry, dict):
            return None
        numbers = {name: next((entry[s] for s in spellings if s in entry), None) for name, spellings in names.items()}
        if not all(isinstance(value, int | float) for value in numbers.values()):
            return None
        objects.append({"type": kind, **numbers})
    return json.dumps(objects if any(one != objects[0] for one in objects) else objects[:1]) if objects else None
