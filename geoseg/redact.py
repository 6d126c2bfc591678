"""Remove secrets from messages, logs and reports."""

import re
from typing import Any

HIDDEN = "***"

_END = r"[^&\s\"'<>\\]+"
"""A backslash also ends a value, so that redacted JSON stays JSON."""
# An AWS secret may contain slashes. Digits before a slash are a port; an @ after it is part of the path.
_CREDENTIALS = re.compile(r"(://)(?:[^/\s@\"'<>]+|[^/\s@:\"'<>]+:(?!\d+/)[^\s@\"'<>]+)@")
_QUERY = re.compile(
    rf"([?&;][\w.%-]*(?:sig|token|secret|passw|pwd|cred|auth|key|session)[\w.%-]*=){_END}", re.IGNORECASE
)
_ASSIGNMENT = re.compile(rf"\b([\w.-]*(?:password|secret|token|userpwd|access_key)[\w.-]*=){_END}", re.IGNORECASE)
_BEARER = re.compile(r"\b((?:Bearer|Basic) )[\w+/=.~-]{8,}")


def redact(text: str) -> str:
    """Replace credentials by ``***``: user and password of a URL, signatures and tokens of a query, bearer tokens.

    Host and path stay, so that the file can be identified. Bytes of file names that are not UTF-8 become escapes, which
    every file and terminal can show. Redacting twice has no further effect.
    """
    text = text.encode("utf-8", "backslashreplace").decode()
    text = _CREDENTIALS.sub(rf"\1{HIDDEN}@", text)
    for pattern in (_QUERY, _ASSIGNMENT, _BEARER):
        text = pattern.sub(rf"\1{HIDDEN}", text)
    return text


def redact_values(value: Any) -> Any:
    """Redact all strings in nested mappings, lists and tuples; tuples become lists."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {key: redact_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact_values(item) for item in value]
    return value
