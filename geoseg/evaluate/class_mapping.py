"""Which value of the labels and which class of the prediction stands for which compared class."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import SettingsError
from geoseg.grid.legend import NODATA_CLASS
from geoseg.strict_yaml import read_yaml

IGNORE = "ignore"
"""In a mapping: pixels that are not compared."""
OTHERS = "*"
"""In a mapping: all values that it does not name."""
NO_LABEL = -1
"""Instead of a class id: a pixel without a label."""
_KEYS = ("labels", "predictions", "outside")
_SHOWN = 12

Value = int | str
"""A class in a raster or in a column: its number or its name."""


@dataclass(frozen=True, slots=True)
class ClassMapping:
    """The compared classes and how to get there."""

    names: tuple[str, ...]
    """Names of the compared classes; their ids are 0, 1, 2, ..."""
    predictions: tuple[str, ...]
    """Compared class of each class of the legend, or ``ignore``."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Compared class of values of the labels, or ``ignore``; empty: labels hold the numbers or names of the legend."""
    outside: str = IGNORE
    """Compared class of pixels outside all label polygons, or ``ignore``."""
    ignored: frozenset[str] = frozenset()
    """Values of the labels that are not compared."""

    @property
    def merges(self) -> bool:
        """Several classes of the legend are compared as one."""
        return len(self.names) < sum(name != IGNORE for name in self.predictions)

    def id_of(self, name: str) -> int:
        """Id of a compared class; 255 for ``ignore``."""
        return NODATA_CLASS if name == IGNORE else self.names.index(name)

    def predicted_ids(self) -> NDArray[np.uint8]:
        """Compared class of each class id 0..255 of a class map, uint8; 255 where there is none."""
        ids = np.full(256, NODATA_CLASS, np.uint8)
        ids[: len(self.predictions)] = [self.id_of(name) for name in self.predictions]
        return ids

    def label_ids(self, values: Iterable[Value], source: str, known: Mapping[int, str]) -> list[int]:
        """Compared class of values of the labels.

        Args:
            values: Numbers or names, each once.
            source: Where they are, for the message.
            known: Names of numbers that the source itself declares.

        Returns:
            The id of each value; 255 for ``ignore``.

        Raises:
            SettingsError: If a value stands for no class.
        """
        found = {value: self._target(value, known) for value in values}
        strange = [str(value) for value, target in found.items() if target is None]
        if strange == [OTHERS]:
            raise SettingsError(
                f"{source}: which class its polygons are of is not known. Name the column with --class-column, or give "
                f"all of them one class in --classes FILE: `labels: {{'{OTHERS}': {self.names[0]}}}`."
            )
        if strange:
            raise SettingsError(
                f"{source} holds {_listed(strange)}, which {'is' if len(strange) == 1 else 'are'} no class of "
                f"{_listed([f'{id_} {name}' for id_, name in enumerate(self.names)])}. Say what each stands for in "
                f"--classes FILE, e.g. `labels: {{{strange[0]}: {self.names[0]}}}` or `{strange[0]}: {IGNORE}`, or "
                "leave it out with --ignore."
            )
        return [self.id_of(target) for target in found.values() if target is not None]

    def _target(self, value: Value, known: Mapping[int, str]) -> str | None:
        """Compared class of a value, by its number as text or its name; None if there is none."""
        name = known.get(value, "") if isinstance(value, int) else value
        if str(value) in self.ignored:
            return IGNORE
        for key in (str(value), name, OTHERS):
            if key in self.labels:
                return self.labels[key]
        # A number without a name is an id of the legend, unless a mapping says what numbers mean.
        is_id = isinstance(value, int) and not name and not self.labels and 0 <= value < len(self.names)
        return name if name in self.names else self.names[int(value)] if is_id else None


def read_class_mapping(path: Path | None, legend: tuple[str, ...], ignore: Iterable[int] = ()) -> ClassMapping:
    """Read a mapping, or make the one in which labels and predictions have the same classes.

    Args:
        path: YAML file with the keys ``labels``, ``predictions`` and ``outside``, see `configs/README.md`; or None.
        legend: Names of the classes of the prediction.
        ignore: Values of the labels that are not compared.

    Raises:
        SettingsError: If the file cannot be read, has other keys, or names classes that the legend does not have.
    """
    content = {} if path is None else _read(path)
    predictions = _section(content, "predictions", path)
    strange = sorted(str(key) for key in predictions if key not in (*legend, *range(len(legend)), OTHERS))
    if strange:
        raise SettingsError(f"{path}: predictions names {_listed(strange)}; the legend has {_listed(legend)}.")
    kept: dict[Value, str] = {} if predictions else {name: name for name in legend}
    targets = [
        next((table[key] for table in (predictions, kept) for key in (name, id_, OTHERS) if key in table), IGNORE)
        for id_, name in enumerate(legend)
    ]
    names = tuple(dict.fromkeys(target for target in targets if target != IGNORE))
    if not names:
        raise SettingsError(f"{path}: predictions leaves no class of {_listed(legend)} to compare.")
    labels = _section(content, "labels", path)
    outside = content.get("outside", IGNORE)
    for target in (*labels.values(), outside):
        if target not in (*names, IGNORE):
            raise SettingsError(
                f"{path}: {target!r} is no compared class. The prediction has {_listed(names)}; write one of them, or "
                f"{IGNORE}."
            )
    by_text = {str(value): target for value, target in labels.items()}
    return ClassMapping(names, tuple(targets), by_text, outside, frozenset(map(str, ignore)))


def _read(path: Path) -> dict[str, Any]:
    try:
        content = read_yaml(path.read_text())
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} cannot be read as YAML: {error}.") from error
    if not isinstance(content, dict) or not content or set(content) - set(_KEYS):
        keys = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise SettingsError(f"{path} holds {keys}; a file of --classes has the keys {_listed(_KEYS)}.")
    return content


def _section(content: Mapping[str, Any], key: str, path: Path | None) -> dict[Value, str]:
    section = content.get(key, {})
    if not isinstance(section, dict) or not all(
        isinstance(value, Value) and isinstance(target, str) for value, target in section.items()
    ):
        raise SettingsError(f"{path}: {key} must map values to names of classes, such as {{3: forest, 255: {IGNORE}}}.")
    return section


def _listed(words: Iterable[str]) -> str:
    words = list(words)
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return ", ".join(words[:_SHOWN]) + more
