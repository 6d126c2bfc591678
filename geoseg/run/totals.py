"""What a run has done so far, and how fast, as its driver hears of it. Of one size, whatever the number of blocks."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from time import monotonic

from geoseg.plan.scene_plan import ScenePlan
from geoseg.publish.geodesy.pixel_area import mean_pixel_m2
from geoseg.stages.metrics import UnitMetrics

M2_OF_KM2 = 1e6
SLOW_KM2_PER_H = 10
"""Below this a rate is shown with two digits, so that none is 0."""


@dataclass(slots=True)
class StageTotals:
    """What the units of a stage took, summed over processes."""

    units: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    """See `UnitMetrics.cpu_seconds`."""
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Rates:
    """How fast a run is: of its own work alone, without what an earlier run did."""

    px_per_s: float
    """Pixels that got a class over the seconds since the first block."""
    km2_per_h: float | None
    """Their area over the hours; None if a scene has no CRS or lies off the earth."""
    device_share: float | None
    """Part of their time that the workers spent in the network, from the first block until none was left to predict."""
    cost_per_1000_km2: float | None
    """In the currency of `run.price_per_hour`; None without it, without an area, and if an earlier run did a part: what
    that part cost is not known here."""

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
    """Sums over the units of a run. Made when the first block starts."""

    def __init__(
        self, workers: int, price_per_hour: float | None = None, clock: Callable[[], float] = monotonic
    ) -> None:
        """Begin a run.

        Args:
            workers: Processes that predict.
            price_per_hour: Of all machines together.
            clock: Tells seconds.
        """
        self.stages: dict[str, StageTotals] = defaultdict(StageTotals)
        self.notes: list[str] = []
        """What the report should tell of units."""
        self.patches = self.finished = self.resumed = 0
        """Patches that went through the model; finished blocks, with those that an earlier run had finished."""
        self.forward_s = self.seconds = 0.0
        """Seconds in the network, summed over workers; seconds from the first block to the last unit that has ended."""
        self._workers, self._price_per_hour, self._clock = workers, price_per_hour, clock
        self._started, self._predicting_s = clock(), 0.0
        self._pixels: Counter[str] = Counter()
        self._pixel_m2: dict[str, float | None] = {}

    def add(self, plan: ScenePlan, metrics: UnitMetrics) -> None:
        """Take in what a unit of work on a scene took, as it ends."""
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
        """How fast it went until the last unit that has ended.

        Args:
            failed: Scenes that cost something and gave nothing.
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
        """Area of all pixels but those of some scenes; None if it is unknown."""
        known = {scene_id: pixel_m2 for scene_id, pixel_m2 in self._pixel_m2.items() if scene_id not in without}
        areas_m2 = [self._pixels[scene_id] * pixel_m2 for scene_id, pixel_m2 in known.items() if pixel_m2 is not None]
        return sum(areas_m2) / M2_OF_KM2 if len(areas_m2) == len(known) else None
