"""Rates and cost of a run; unknown values are left out."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasterio.transform import from_bounds

from geoseg.config import Settings
from geoseg.model.bundle.trust import read_trusted_bundle
from geoseg.model.hardware import find_hardware
from geoseg.plan.run_plan import make_plan
from geoseg.plan.scene_plan import ScenePlan
from geoseg.plan.survey import survey
from geoseg.run.totals import Rates, Totals
from geoseg.stages.metrics import UnitMetrics
from tests.support.bundles import identity_bundle
from tests.support.scenes import write_scene

PIXELS = 10_000_000
"""1000 km2 at 10 m."""


class Time:
    """A clock that the test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def plan_of(folder: Path, name: str = "scene", **where: Any) -> ScenePlan:
    scene = write_scene(folder / f"{name}.tif", np.zeros((1, 40, 40), np.uint8), **where)
    settings = Settings.model_validate(
        {
            "scenes": [str(scene)],
            "model": str(identity_bundle(folder / "bundle")),
            "output": str(folder / "out"),
            "scene": {"allow_ungeoreferenced": True},
        }
    )
    return make_plan(survey(settings, read_trusted_bundle(settings.model)), "run", find_hardware("cpu"), 2).scenes[0]


def after_an_hour(plan: ScenePlan, price: float | None = 3.0, workers: int = 2) -> Totals:
    """A run that predicts for half an hour and publishes for another, with one worker of two at work."""
    time = Time()
    totals = Totals(workers, price, time)
    totals.add(plan, UnitMetrics("read", 5.0, 1000, cpu_seconds=4.0))
    time.now += 1800
    totals.add(plan, UnitMetrics("predict", 1800.0, patches=7, forward_s=1800.0))
    totals.add(plan, UnitMetrics("finish", 1.0, valid_pixels=PIXELS))
    time.now += 1800
    totals.add(plan, UnitMetrics("rasters", 1800.0, 500, notes=("a hole",)))
    return totals


def test_rates_are_of_the_whole_run_and_the_device_share_of_its_predictions(tmp_path: Path) -> None:
    totals = after_an_hour(plan_of(tmp_path))
    assert totals.rates() == Rates(
        px_per_s=pytest.approx(PIXELS / 3600),
        km2_per_h=pytest.approx(1000),
        device_share=pytest.approx(0.5),
        cost_per_1000_km2=pytest.approx(3),
    )
    assert str(totals.rates()) == "0.00 Mpx/s, 1,000 km2/h, network busy 50%, 3 per 1000 km2"
    assert (totals.patches, totals.valid_pixels, totals.finished, totals.notes) == (7, PIXELS, 1, ["a hole"])
    read = totals.stages["read"]
    assert (read.units, read.seconds, read.cpu_seconds, read.bytes) == (1, 5.0, 4.0, 1000)


def test_unknown_values_are_left_out(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    assert Totals(2, 3.0).rates() == Rates(0.0, None, None, None)
    assert after_an_hour(plan, price=None).rates().cost_per_1000_km2 is None
    assert after_an_hour(plan, price=0.0).rates().cost_per_1000_km2 == 0
    nowhere = after_an_hour(plan_of(tmp_path, "nowhere", crs=None)).rates()
    assert (nowhere.km2_per_h, nowhere.cost_per_1000_km2) == (None, None)
    assert str(nowhere) == "0.00 Mpx/s, network busy 50%"


def test_blocks_of_an_earlier_run_are_in_no_rate(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    totals, fresh = after_an_hour(plan), after_an_hour(plan).rates()
    totals.add(plan, UnitMetrics("resumed", valid_pixels=PIXELS, notes=("an old hole",)))
    rates = totals.rates()
    assert (rates.px_per_s, rates.km2_per_h, rates.device_share) == (
        fresh.px_per_s,
        fresh.km2_per_h,
        fresh.device_share,
    )
    assert rates.cost_per_1000_km2 is None, "the earlier run has cost something too"
    assert (totals.resumed, totals.finished, totals.notes) == (1, 2, ["a hole", "an old hole"])
    assert "resumed" not in totals.stages


def test_a_failed_scene_adds_cost_and_no_area(tmp_path: Path) -> None:
    good, bad = plan_of(tmp_path, "good"), plan_of(tmp_path, "bad")
    totals = after_an_hour(good)
    totals.add(bad, UnitMetrics("finish", valid_pixels=PIXELS))
    assert totals.rates().cost_per_1000_km2 == pytest.approx(1.5)
    assert totals.rates(failed=["bad"]).cost_per_1000_km2 == pytest.approx(3)
    assert totals.rates(failed=["bad"]).km2_per_h == pytest.approx(2000)
    assert totals.rates(failed=["good", "bad"]).cost_per_1000_km2 is None


def test_areas_in_degrees_are_geodesic(tmp_path: Path) -> None:
    # One pixel of a grid of 40 x 40 over a square degree at the equator: a 1600th of 111.32 km x 110.57 km.
    plan = plan_of(tmp_path, crs="EPSG:4326", transform=from_bounds(10, 0, 11, 1, 40, 40))
    assert after_an_hour(plan).rates().km2_per_h == pytest.approx(PIXELS * 111.32 * 110.57 / 1600, rel=1e-3)
