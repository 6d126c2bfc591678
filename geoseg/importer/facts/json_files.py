"""Read the JSON and YAML files beside a network."""

import json
from pathlib import Path
from typing import Any

import yaml

from geoseg.errors import SettingsError

MAX_BYTES = 16 << 20


def read_object(path: Path) -> dict[str, Any]:
    """Read the object in a JSON file.

    Raises:
        SettingsError: If it cannot be read or holds something else.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise SettingsError(f"{path} has more than {MAX_BYTES} bytes, so it does not describe a network.")
        return parse_object(path.read_bytes(), str(path))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read as JSON: {error.strerror or error}. Copy it again.") from error


def parse_object(text: bytes | str, said_by: str) -> dict[str, Any]:
    """Parse the object in a JSON text.

    Raises:
        SettingsError: If it is no JSON or holds something else.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{said_by} cannot be read as JSON: {error}. Copy it again.") from error
    if not isinstance(content, dict):
        raise SettingsError(f"{said_by} holds no JSON object. Copy it again.")
    return content


def parse_yaml(text: bytes | str, said_by: str) -> dict[str, Any]:
    """Parse the mapping in a YAML text; tags that build objects are errors.

    Raises:
        SettingsError: If it is no YAML or holds something else.
    """
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise SettingsError(f"{said_by} cannot be read as YAML: {reason}. Copy it again.") from error
    if not isinstance(content, dict):
        raise SettingsError(f"{said_by} holds no keys. Copy it again.")
    return content
