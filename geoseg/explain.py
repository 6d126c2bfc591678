"""Messages for wrong settings that need no knowledge of Python or pydantic."""

import difflib
import reprlib
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from pydantic import ValidationError

MAX_SHOWN = 10
"""Largest number of problems in a message."""
REQUIRED_FLAGS = {"scenes": "SCENE...", "model": "--model BUNDLE", "output": "--output DIR"}
"""Flags of the required settings."""
DATES = "a date such as 2026-06-21 or 2026-06-21T10:30:00Z"
_UNKNOWN = ("extra_forbidden", "invalid_key")
"""pydantic's error types for an unknown key, and for a key that is no text."""


def explain(error: ValidationError, schema: Mapping[str, Any]) -> str:
    """Explain all problems, one line for each setting: key, value, allowed values.

    Args:
        error: The errors that pydantic found.
        schema: JSON schema of the settings.
    """
    by_key: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    keys = list(key_schemas(schema))
    known = {*keys, *(key.rpartition(".")[2] for key in keys)}
    for item in error.errors(include_url=False):
        # pydantic adds parts of a union to the location, such as "int" or "literal['auto']"; these are no keys.
        unknown = item["type"] in _UNKNOWN
        at = [part for part in item["loc"] if not (item["type"] == "extra_forbidden" and isinstance(part, int))]
        parts = [_cut(str(part)) for part in at if str(part) in known or unknown]
        if item["type"] == "invalid_key":
            parts[-1] = shown(item["input"])
        kind = item["type"] if item["type"] in {*_UNKNOWN, "missing"} else "value"
        by_key.setdefault((".".join(parts), kind), []).append(item)
    # A section that could also be a text: what is wrong inside it is the answer.
    sections = {
        key for key, kind in by_key if kind == "value" and any(other.startswith(f"{key}.") for other, _ in by_key)
    }
    lines = [
        _sentence(key, kind, items, schema)
        for (key, kind), items in by_key.items()
        if key not in sections or kind != "value" or not isinstance(items[0]["input"], Mapping)
    ]
    more = [f"And {len(lines) - MAX_SHOWN} more."] if len(lines) > MAX_SHOWN else []
    return "\n".join(lines[:MAX_SHOWN] + more)


def _sentence(key: str, kind: str, items: Sequence[Mapping[str, Any]], schema: Mapping[str, Any]) -> str:
    known = key_schemas(schema)
    if kind in _UNKNOWN:
        near = difflib.get_close_matches(key[:100], known, n=1, cutoff=0.5)
        return f"Unknown setting {key or repr(key)}." + (
            f" Did you mean {near[0]}?" if near else " See configs/README.md."
        )
    if kind == "missing":
        flag = f"Give {REQUIRED_FLAGS[key]}, or" if key in REQUIRED_FLAGS else "Give"
        return f"Setting {key} is missing. {flag} {key}: in a --config file."
    own = [item["msg"].removeprefix("Value error, ") for item in items if item["type"] == "value_error"]
    if not key:
        return f"{shown(items[0]['input'])} holds no settings. Give keys and values; see configs/README.md."
    allowed = " or ".join(dict.fromkeys(own)) or _allowed(known[key])
    return f"Setting {key}={shown(items[0]['input'])} is not allowed: it must be {allowed}."


def key_schemas(
    whole: Mapping[str, Any], section: Mapping[str, Any] | None = None, prefix: str = ""
) -> dict[str, Mapping[str, Any]]:
    """The JSON schema of every dotted key, of a whole schema or of one section."""
    schemas: dict[str, Mapping[str, Any]] = {}
    for name, field in (whole if section is None else section)["properties"].items():
        schemas[prefix + name] = field
        for reference in _references(field):
            schemas |= key_schemas(whole, whole["$defs"][reference.rpartition("/")[2]], f"{prefix}{name}.")
    return schemas


def _references(field: Mapping[str, Any]) -> list[str]:
    """Sections that a value, or an entry of a list, may be."""
    either = [field, field.get("items", {})]
    either += [part for one in either for part in one.get("anyOf", [])]
    return [one["$ref"] for one in either if "$ref" in one]


def _allowed(schema: Mapping[str, Any]) -> str:
    """Describe the values that a JSON schema allows."""
    if "anyOf" in schema:
        return " or ".join(map(_allowed, schema["anyOf"]))
    if "$ref" in schema:
        return "a section of settings (key: value)"
    if words := schema.get("enum", [schema["const"]] if "const" in schema else []):
        return " or ".join(map(str, words))
    if schema.get("type") == "array":
        return f"a list ({_allowed(schema['items'])} each)"
    if schema.get("type") in ("integer", "number"):
        return _number(schema)
    kind = schema.get("format", schema.get("type", ""))
    texts: dict[str, str] = {"boolean": "true or false", "null": "null", "date-time": DATES}
    if kind == "object":
        texts["object"] = f"names with {_allowed(schema['additionalProperties'])} each"
    return texts.get(kind, "a text")


def _number(schema: Mapping[str, Any]) -> str:
    above, least, most = (schema.get(key) for key in ("exclusiveMinimum", "minimum", "maximum"))
    low = f" above {above:g}" if above is not None else "" if least is None else f" from {least:.15g}"
    high = "" if most is None else f" to {most:.15g}"
    return f"a {'whole ' if schema['type'] == 'integer' else ''}number{low}{high}"


def shown(value: Any) -> str:
    """A value for a message, shortened if it is large or deeply nested."""
    if isinstance(value, date):
        return value.isoformat()
    show = reprlib.Repr()
    show.maxlevel, show.maxstring, show.maxother, show.maxlong = 2, 100, 100, 40
    return show.repr(value)


def _cut(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:97]}..."
