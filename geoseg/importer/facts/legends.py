"""Names and colours of classes: published legends, lists and files."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from itertools import cycle
from pathlib import Path
from typing import Any

import yaml

from geoseg.errors import SettingsError
from geoseg.grid.legend import Legend, LegendClass

COLORS = (
    *("1F77B4", "2CA02C", "FFBB78", "D62728", "98DF8A", "9467BD", "8C564B", "E377C2", "7F7F7F", "BCBD22", "17BECF"),
    *("AEC7E8", "FF7F0E", "FF9896", "C5B0D5", "C49C94", "F7B6D2", "C7C7C7", "DBDB8D", "9EDAE5"),
)
"""Colours of classes that come without: those of matplotlib's ``tab20``."""


def make_legend(names: Sequence[str], said_by: str, colors: Mapping[str, str] | None = None) -> Legend:
    """A legend of names in the order of the channels.

    Args:
        names: The names.
        said_by: Option or file that gives them, for messages.
        colors: ``RRGGBB`` by name; others get distinct colours.

    Raises:
        SettingsError: If there are none or too many, or two are alike.
    """
    spare = cycle([color for color in COLORS if color not in set((colors or {}).values())] or COLORS)
    entries = tuple(
        LegendClass(index, name, _rgb((colors or {}).get(name) or next(spare), name, said_by))
        for index, name in enumerate(names)
    )
    try:
        return Legend(entries)
    except ValueError as error:
        raise SettingsError(f"{said_by}: {error} Correct the names.") from error


def published_legend(name: str) -> Legend:
    """One of the legends that geoseg knows.

    Raises:
        SettingsError: If it does not know the name.
    """
    known = _published()
    if name not in known:
        raise SettingsError(f"--legend {name} is unknown; known are {', '.join(known)}.")
    colors = {str(label): str(color) for label, color in known[name]["classes"].items()}
    return make_legend(list(colors), f"legend {name}", colors)


def parse_classes(text: str) -> Legend:
    """The legend of ``--classes``: names with commas, or a file.

    A file holds one class on each line, ``name`` or ``name,RRGGBB``; or, as JSON or YAML, a list of names or a mapping
    from number to name.

    Raises:
        SettingsError: If the file cannot be read or holds something else.
    """
    path = Path(text)
    is_name = path.suffix in (".txt", ".csv", ".json", ".yaml", ".yml") or ("," not in text and path.is_file())
    if not is_name:
        return make_legend([name.strip() for name in text.split(",")], "--classes")
    try:
        content = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(f"--classes {path} cannot be read: {reason}. Give a text file or names.") from error
    said_by = f"--classes {path}"
    if path.suffix in (".json", ".yaml", ".yml"):
        return make_legend(_from_data(content, said_by), said_by)
    rows = [[part.strip() for part in line.split(",")] for line in content.splitlines() if line.strip()]
    return make_legend([row[0] for row in rows], said_by, {row[0]: row[1] for row in rows if len(row) > 1 and row[1]})


def _from_data(content: str, said_by: str) -> list[str]:
    try:
        data = json.loads(content) if content.lstrip().startswith(("{", "[")) else yaml.safe_load(content)
        if isinstance(data, dict) and isinstance(data.get("id2label"), dict):
            data = data["id2label"]
        if isinstance(data, dict):
            numbers = sorted(int(key) for key in data)
            if numbers != list(range(len(numbers))):
                raise SettingsError(f"{said_by} numbers its classes {numbers}; the channels are 0, 1, 2 ...")
            data = [next(value for key, value in data.items() if int(key) == number) for number in numbers]
    except (ValueError, TypeError, yaml.YAMLError, RecursionError) as error:
        raise SettingsError(f"{said_by} is neither a list of names nor numbers with names: {error}.") from error
    if not isinstance(data, list):
        raise SettingsError(f"{said_by} is neither a list of names nor numbers with names.")
    return [str(name) for name in data]


@cache
def _published() -> dict[str, Any]:
    text = files("geoseg.importer.facts").joinpath("legends.yaml").read_text("utf-8")
    return dict(yaml.safe_load(text))


def _rgb(color: str, name: str, said_by: str) -> tuple[int, int, int]:
    try:
        red, green, blue = bytes.fromhex(color.removeprefix("#"))
    except ValueError as error:
        raise SettingsError(f"{said_by}: {color!r} of {name!r} is no colour; write RRGGBB, such as 1E6B2E.") from error
    return red, green, blue
