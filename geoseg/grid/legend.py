"""What the class ids mean."""

from dataclasses import dataclass

NODATA_CLASS = 255
"""Nodata value of every class map; never the id of a class."""

NODATA_CONFIDENCE = 0
"""Confidence of a pixel without a class. A pixel with a class has at least 1."""


@dataclass(frozen=True, slots=True)
class LegendClass:
    """One class of a legend."""

    id: int
    """0..254; also the index of the model's output channel."""
    name: str
    """Display name."""
    color: tuple[int, int, int]
    """Red, green, blue, each 0..255."""


@dataclass(frozen=True, slots=True)
class Legend:
    """Class id -> name and colour. Ids are 0, 1, 2, ... without a gap, because they are the model's channels."""

    classes: tuple[LegendClass, ...]

    def __post_init__(self) -> None:
        ids = [entry.id for entry in self.classes]
        if not 1 <= len(ids) <= NODATA_CLASS:
            raise ValueError(
                f"A legend holds 1 to {NODATA_CLASS} classes, got {len(ids)}; {NODATA_CLASS} means nodata."
            )
        if ids != list(range(len(ids))):
            raise ValueError(f"Class ids must be 0, 1, 2, ... in order, got {ids}.")
        names = [entry.name for entry in self.classes]
        if len(set(names)) != len(names) or not all(names):
            raise ValueError(f"Class names must differ and not be empty, got {names}.")

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """Names in the order of the ids."""
        return tuple(entry.name for entry in self.classes)
