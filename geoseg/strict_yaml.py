"""Strict YAML for settings: no aliases, no repeated keys, no deep nesting, and `ValueError` for every problem.

Plain PyYAML has no limit for nesting, expands aliases to exponential size, silently takes the last of repeated keys,
and raises a dozen kinds of exceptions.
"""

from collections.abc import Hashable
from typing import Any

import yaml

MAX_DEPTH = 20
MAX_CHARACTERS = 1 << 20
_PYYAML_ERRORS = (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError, OverflowError, RecursionError)
"""PyYAML's own errors, and those for unsuitable tags and for dates such as 2026-02-30."""


def read_yaml(text: str) -> Any:
    """Parse a YAML text.

    Raises:
        ValueError: If the text is not YAML that settings may have; the message has the reason and the place.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"it has {len(text):,} characters, and settings have at most {MAX_CHARACTERS:,}")
    try:
        return _Loader(text).get_single_data()
    except _PYYAML_ERRORS as error:
        raise ValueError(_reason(error)) from error


def _reason(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        place = f"line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}"
        return f"{error.problem or error.context} ({place})"
    reason = " ".join(str(error).split())
    if "integer string conversion" in reason:
        return "a number in it has thousands of digits"
    return reason if isinstance(error, yaml.YAMLError | ValueError) else f"a tag does not fit its value ({reason})"


def _refusal(reason: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, reason, mark)


class _Loader(yaml.SafeLoader):
    def compose_node(self, parent: Any, index: Any) -> Any:
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        if self.check_event(yaml.AliasEvent):
            raise _refusal("aliases (*name) are not read; write the value", mark)
        self._depth = getattr(self, "_depth", 0) + 1
        if self._depth > MAX_DEPTH:
            raise _refusal(f"it is nested more than {MAX_DEPTH} deep", mark)
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen and isinstance(key, yaml.ScalarNode):
                raise _refusal(f"the key {key.value!r} occurs twice; keep one", key.start_mark)
            if isinstance(key, yaml.ScalarNode):
                seen.add(key.value)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return mapping
