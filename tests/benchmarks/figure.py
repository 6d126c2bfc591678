"""One measured number, and what it is compared with."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """A row of the table."""

    benchmark: str
    """Name of the module that measured it."""
    what: str
    """What was measured."""
    value: float
    unit: str
    baseline: float | None = None
    """Value, in the same unit, that it is compared with."""
    compared_with: str = ""
    """What the baseline is."""
    limit: float | None = None
    """What the ratio must stay below."""

    @property
    def ratio(self) -> float | None:
        """Value over baseline."""
        return self.value / self.baseline if self.baseline else None

    @property
    def missed(self) -> bool:
        """Tell whether the ratio is not below its limit."""
        return self.limit is not None and (self.ratio is None or self.ratio >= self.limit)
