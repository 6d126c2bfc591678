"""Sums and rates over the units of a run. Their size does not depend on the number of blocks."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from time import monotonic

from geoseg.plan.scene_plan import ScenePlan
from geoseg.publish.geodesy.pixel_area import mean_pixel_m2
from geoseg.stages.metrics import UnitMetrics

M2_OF_KM2 = 1e6
SLOW_KM2_PER_H = 10
"""Below this a rate is shown with two significant digits, so that it is not shown as 0."""


@dataclass(slots=True)
class StageTotals:
    """Sums over the units of a stage, in all processes."""

    units: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    """See `UnitMetrics.cpu_seconds`."""
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Rates:
    """Rates of a run, for its own work only, without that of an earlier run."""

    px_per_s: float
    """Pixels that got a class, divided by the seconds since the first block."""
    km2_per_h: float | None
    """Their area, divided by the hours; None if a scene has no CRS or is outside the area of its CRS."""
    device_share: float | None
    """Share of the predictors' time spent in the network, from the first block until the last prediction."""
    cost_per_1000_km2: float | None
    """In the currency of `run.price_per_hour`; None without it, without an area, and if an earlier run
    did a part, whose cost is unknown."""

    def __str__(self) -> str:
        facts = [f"{self.px_per_s / 1e6:.2f} Mpx/s"]
        if self.km2_per_h is not None:
            facts.append(
                f"{self.km2_per_h:,.0f} km2/h" if self.km2_per_h >= SLOW_KM2_PER_H else f"{self.km2_per_h:.2g} km2/h"
            )
        if self.device_share is not None:
            facts.append(f"network busy {self.device_share:.0%}")
        if self.cost_per_1000_km2 is not None:
            facts.append(f"{self.cost_per_1000_km2:.4g} per 1000 km2")
        return ", ".join(facts)


class Totals:
    """Sums over the units of a run. Create it when the first block starts."""

    def __init__(
        self, workers: int, price_per_hour: float | None = None, clock: Callable[[], float] = monotonic
    ) -> None:
        """Begin a run.

        Args:
            workers: Number of predictors.
            price_per_hour: Price of all machines together.
            clock: Returns seconds.
        """
        self.stages: dict[str, StageTotals] = defaultdict(StageTotals)
        self.notes: list[str] = []
        """Sentences for the report."""
        self.patches = self.finished = self.resumed = 0
        """Predicted patches; finished blocks, including resumed ones; blocks that an earlier run had finished."""
        self.forward_s = self.seconds = 0.0
        """Seconds in the network, summed over predictors; seconds from the first block to the last ended unit."""
        self._workers, self._price_per_hour, self._clock = workers, price_per_hour, clock
        self._started, self._predicting_s = clock(), 0.0
        self._pixels: Counter[str] = Counter()
        self._pixel_m2: dict[str, float | None] = {}

    def add(self, plan: ScenePlan, metrics: UnitMetrics) -> None:
        """Add the metrics of a unit that has ended."""
        self.notes += metrics.notes
        self.finished += metrics.stage in {"finish", "resumed"}
        if metrics.stage == "resumed":
            self.resumed += 1
            return
        self.seconds = self._clock() - self._started
        stage = self.stages[metrics.stage]
        stage.units += 1
        stage.seconds += metrics.seconds
        stage.cpu_seconds += metrics.cpu_seconds
        stage.bytes += metrics.bytes
        self.patches += metrics.patches
        self.forward_s += metrics.forward_s
        if metrics.patches:
            self._predicting_s = self.seconds
        if metrics.valid_pixels:
            self._pixels[plan.scene.scene_id] += metrics.valid_pixels
            if plan.scene.scene_id not in self._pixel_m2:
                self._pixel_m2[plan.scene.scene_id] = mean_pixel_m2(plan.scene.grid)

    @property
    def valid_pixels(self) -> int:
        """Pixels that got a class."""
        return self._pixels.total()

    def rates(self, failed: Collection[str] = ()) -> Rates:
        """Rates until the last unit that has ended.

        Args:
            failed: Ids of failed scenes: their cost counts, their area does not.
        """
        hours, area_km2, published_km2 = self.seconds / 3600, self._area_km2(()), self._area_km2(failed)
        price = None if self.resumed else self._price_per_hour
        return Rates(
            px_per_s=self.valid_pixels / self.seconds if self.seconds else 0.0,
            km2_per_h=area_km2 / hours if area_km2 and hours else None,
            device_share=self.forward_s / (self._workers * self._predicting_s) if self._predicting_s else None,
            cost_per_1000_km2=1000 * price * hours / published_km2 if price is not None and published_km2 else None,
        )

    def _area_km2(self, without: Collection[str]) -> float | None:
        """Area of all pixels except those of the scenes in ``without``; None if it is unknown."""
        known = {scene_id: pixel_m2 for scene_id, pixel_m2 in self._pixel_m2.items() if scene_id not in without}
        areas_m2 = [self._pixels[scene_id] * pixel_m2 for scene_id, pixel_m2 in known.items() if pixel_m2 is not None]
        return sum(areas_m2) / M2_OF_KM2 if len(areas_m2) == len(known) else None
