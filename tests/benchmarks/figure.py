"""A measured value, its baseline and the limits of their ratio."""

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
    """Value of the baseline, in the same unit."""
    compared_with: str = ""
    """What the baseline is."""
    limit: float | None = None
    """Largest allowed ratio."""
    least: float | None = None
    """Smallest allowed ratio."""

    @property
    def ratio(self) -> float | None:
        """Value over baseline."""
        return self.value / self.baseline if self.value is not None and self.baseline else None

    @property
    def judged(self) -> bool:
        """Whether the ratio has a limit."""
        return self.limit is not None or self.least is not None

    @property
    def missed(self) -> bool:
        """Whether the ratio misses its limit."""
        ratio = self.ratio
        below = self.limit is None or (ratio is not None and ratio <= self.limit)
        reached = self.least is None or (ratio is not None and ratio >= self.least)
        return not (below and reached)
