"""Take secrets out of text before a person, a log or a report sees it."""

import re
from typing import Any

HIDDEN = "***"

_END = r"[^&\s\"'<>\\]+"
"""A backslash ends a value too, so that redacted JSON is still JSON."""
# An AWS secret may hold slashes; digits before a slash are a port, and an @ after it belongs to the path.
_CREDENTIALS = re.compile(r"(://)(?:[^/\s@\"'<>]+|[^/\s@:\"'<>]+:(?!\d+/)[^\s@\"'<>]+)@")
_QUERY = re.compile(
    rf"([?&;][\w.%-]*(?:sig|token|secret|passw|pwd|cred|auth|key|session)[\w.%-]*=){_END}", re.IGNORECASE
)
_ASSIGNMENT = re.compile(rf"\b([\w.-]*(?:password|secret|token|userpwd|access_key)[\w.-]*=){_END}", re.IGNORECASE)
_BEARER = re.compile(r"\b((?:Bearer|Basic) )[\w+/=.~-]{8,}")


def redact(text: str) -> str:
    """Replace credentials by ``***``: user and password of a URL, signatures and tokens of a query, bearer tokens.

    What is left still names host and path, so that a person knows which file is meant. Bytes of file names that are not
    UTF-8 are written as escapes, which any file and terminal takes. Redacting twice changes nothing.
    """
    text = text.encode("utf-8", "backslashreplace").decode()
    text = _CREDENTIALS.sub(rf"\1{HIDDEN}@", text)
    for pattern in (_QUERY, _ASSIGNMENT, _BEARER):
        text = pattern.sub(rf"\1{HIDDEN}", text)
    return text


def redact_values(value: Any) -> Any:
    """Redact every string in values of mappings, lists and tuples, however deep; tuples become lists."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {key: redact_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact_values(item) for item in value]
    return value
