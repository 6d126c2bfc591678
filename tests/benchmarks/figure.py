"""One measured number, and what it is compared with."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """A row of the table."""

    benchmark: str
    """Name of the module that measured it."""
    what: str
    """What was measured."""
    value: float | None
    """None if it could not be measured; ``what`` says why."""
    unit: str
    baseline: float | None = None
    """Value, in the same unit, that it is compared with."""
    compared_with: str = ""
    """What the baseline is."""
    limit: float | None = None
    """What the ratio may be at most."""
    least: float | None = None
    """What the ratio must reach."""

    @property
    def ratio(self) -> float | None:
        """Value over baseline."""
        return self.value / self.baseline if self.value is not None and self.baseline else None

    @property
    def judged(self) -> bool:
        """Tell whether there is something that it must keep."""
        return self.limit is not None or self.least is not None

    @property
    def missed(self) -> bool:
        """Tell whether the ratio is not on its side of the limit."""
        ratio = self.ratio
        below = self.limit is None or (ratio is not None and ratio <= self.limit)
        reached = self.least is None or (ratio is not None and ratio >= self.least)
        return not (below and reached)
