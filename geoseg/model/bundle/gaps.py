"""Places of a drafted ``model.json`` that its author must fill in."""

from collections.abc import Iterator, Mapping
from typing import Any

FILL_IN = "FILL IN"
"""What stands in these places."""


def require_complete(document: Mapping[str, Any]) -> None:
    """Refuse a document in which something is not filled in.

    Raises:
        ValueError: The message names each key.
    """
    places = list(dict.fromkeys(_gaps(document, "")))
    if places:
        raise ValueError(
            f"it is a draft, and {FILL_IN} stands in {', '.join(places)}. Replace each {FILL_IN}; the comments there "
            "explain how."
        )


def _gaps(value: Any, place: str) -> Iterator[str]:
    """Names of the keys, without numbers of entries of lists."""
    if value == FILL_IN:
        yield place
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _gaps(part, f"{place} {key}".strip())
    elif isinstance(value, list):
        for part in value:
            yield from _gaps(part, place)
