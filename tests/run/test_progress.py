"""The progress display."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from geoseg.run import progress
from geoseg.run.progress import Display
from geoseg.run.totals import Totals
from geoseg.stages.metrics import UnitMetrics
from tests.run.test_totals import Time, plan_of


def shown(folder: Path, *, terminal: bool, units: int) -> list[str]:
    """Lines of a run of as many blocks, of which the last is not published yet."""
    console = Console(file=io.StringIO(), force_terminal=terminal, width=200)
    plan, time = plan_of(folder), Time()
    totals = Totals(1, 6.0, time)
    with Display(console, units, totals) as display:
        for _ in range(units):
            time.now += 3.6
            totals.add(plan, UnitMetrics("predict", patches=4, forward_s=1.8))
            totals.add(plan, UnitMetrics("finish", valid_pixels=1_000_000))
            display.update(plan)
    return console.file.getvalue().splitlines()


def test_plain_lines_show_rates_and_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    rates = "0.28 Mpx/s, 100,000 km2/h, network busy 50%, 0.06 per 1000 km2, scene scene"
    assert shown(tmp_path, terminal=False, units=2) == [
        f"1 of 2 blocks, 4 patches, {rates}",
        f"2 of 2 blocks, 8 patches, {rates}, writing rasters and polygons",
    ]


def test_a_bar_ends_with_all_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "BAR_EVERY_S", 1e-9)
    text = " ".join(shown(tmp_path, terminal=True, units=3))
    assert "3/3" in text
    assert "network busy 50%" in text
    assert "0.06 per 1000 km2" in text


@pytest.mark.parametrize("terminal", [False, True])
def test_many_units_are_not_shown_one_by_one(tmp_path: Path, terminal: bool) -> None:
    text = " ".join(shown(tmp_path, terminal=terminal, units=1000))
    assert "network busy" not in text, "so fast is the test"
    assert ("1000/1000" in text) == terminal
