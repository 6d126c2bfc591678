"""Arithmetic and tables of the benchmarks."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.cpu_times import is_own
from tests.benchmarks.figure import Figure
from tests.benchmarks.network import Taken, compared
from tests.benchmarks.processes import measure
from tests.benchmarks.table import README, markdown, put_into


@pytest.mark.parametrize(
    ("bounds", "missed"),
    [
        ({}, False),
        ({"limit": 2}, False),
        ({"limit": 1.9}, True),
        ({"least": 2}, False),
        ({"least": 2.1}, True),
        ({"limit": 2, "least": 2}, False),
        ({"limit": 3, "least": 2.5}, True),
    ],
)
def test_limits_of_a_ratio(bounds: dict[str, float], missed: bool) -> None:
    assert Figure("b", "w", 4.0, "s", 2.0, "another", **bounds).missed == missed


def test_a_missing_value_misses_its_limit() -> None:
    assert Figure("b", "w", None, "s", 2.0, least=1).missed
    assert Figure("b", "w", 4.0, "s", limit=1).missed
    assert not Figure("b", "not installed", None, "").missed


def test_the_median_ratio_of_a_run_to_the_network_is_used() -> None:
    runs = [Taken(30.0, 9.0), Taken(10.0, 9.0), Taken(38.0, 9.0), Taken(2.0, 9.0)]
    bare = [Taken(10.0, 3.0), Taken(20.0, 9.0), Taken(5.0, 3.0)]
    found = compared("w", runs, bare, "seconds", 1.15)
    assert (found.value, found.baseline, found.missed) == (20.0, 10.0, True)
    assert compared("w", runs, bare, "cpu_s").ratio == 3


def test_processes_of_a_run_and_of_ray() -> None:
    assert [kind for kind in ("driver", "ray::Process.run", "ray::Process", "ray::IDLE", "raylet") if is_own(kind)] == [
        "driver",
        "ray::Process.run",
        "ray::Process",
    ]


def test_memory_of_a_child_counts(tmp_path: Path) -> None:
    hold = "import time; held = b'x' * 200_000_000; time.sleep(1)"
    command = [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold!r}])"]
    assert 200e6 < measure(command, tmp_path / "log").peak_bytes < 300e6
    with pytest.raises(subprocess.CalledProcessError):
        measure([sys.executable, "-c", "raise SystemExit(3)"], tmp_path / "log")


def test_the_table_of_the_readme_has_figures_with_limits() -> None:
    result = {
        "machine": {"cpu": "Chip", "cpus": 2, "memory_gib": 23.5},
        "software": {"python": "3.11", "numpy": "2", "torch": "2.13"},
        "figures": [
            {**dict(zip(Figure.__slots__, figure, strict=False)), "ratio": 9}
            for figure in (
                ("network", "first to last", 11.0, "s", 10.0, "the bare network", 1.15, None),
                ("network", "  patches", 484, "", None, "", None, None),
                ("usual", "  slow", 3000.5, "MiB", 1000.0, "it", None, 4),
            )
        ],
    }
    assert markdown(json.loads(json.dumps(result))).splitlines() == [
        "| benchmark | | measured | beside | ratio | must be |",
        "|---|---|---:|---:|---:|---:|",
        "| network | first to last | 11 s | the bare network: 10 s | 1.1 | <= 1.15 |",
        "| usual | slow | 3,000 MiB | it: 1,000 MiB | **3** | >= 4 |",
        "",
        "2 cores of Chip, 24 GiB; python 3.11, torch 2.13.",
    ]


def test_the_table_of_the_readme_is_replaced() -> None:
    text = README.read_text()
    found = put_into(put_into(text, "an older one\n"), "a table\n")
    assert found.count("a table\n") == 1
    assert "an older one" not in found
    before, after = found.split("a table\n")
    assert text.startswith(before)
    assert text.endswith(after)
    with pytest.raises(ValueError, match="has no table"):
        put_into("nothing", "a table")
