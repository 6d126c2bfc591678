"""What benchmarks make of what they measured."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from tests.benchmarks.cpu_times import CpuTimes, is_own
from tests.benchmarks.figure import Figure
from tests.benchmarks.network import Taken, compared
from tests.benchmarks.processes import measure, watch
from tests.benchmarks.table import README, markdown, put_into

BUSY = """
import time
from pathlib import Path
while time.process_time() < 0.6: pass
Path("busy").touch()
while not Path("seen").exists(): time.sleep(0.01)
"""


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
def test_a_ratio_keeps_its_bounds_or_misses_them(bounds: dict[str, float], missed: bool) -> None:
    assert Figure("b", "w", 4.0, "s", 2.0, "another", **bounds).missed == missed


def test_what_was_not_measured_keeps_nothing() -> None:
    assert Figure("b", "w", None, "s", 2.0, least=1).missed
    assert Figure("b", "w", 4.0, "s", limit=1).missed
    assert not Figure("b", "not installed", None, "").missed


def test_the_median_ratio_of_runs_to_the_network_between_them_is_shown() -> None:
    runs = [Taken(30.0, 9.0), Taken(10.0, 9.0), Taken(38.0, 9.0), Taken(2.0, 9.0)]
    bare = [Taken(10.0, 3.0), Taken(20.0, 9.0), Taken(5.0, 3.0)]
    found = compared("w", runs, bare, "seconds", 1.15)
    assert (found.value, found.baseline, found.missed) == (20.0, 10.0, True)
    assert compared("w", runs, bare, "cpu_s").ratio == 3


def test_cpu_seconds_are_those_between_two_moments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    times, looks_when_done = CpuTimes(), [False]

    def look(members: Sequence[psutil.Process]) -> None:
        times.look(members)
        if looks_when_done[-1]:  # so these members were listed when all was done
            Path("seen").touch()
        looks_when_done.append(Path("busy").exists())

    command = [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BUSY!r}])"]
    began = time.time()
    watch(command, tmp_path / "log", look)
    ended = time.time()
    whole = times.between(began, ended).total()
    # The kernel counts in ticks of 0.01 s. Above it are two starts of Python, on any machine less than a second.
    assert 0.55 <= whole < 3, "the child's counts, though it was never asked for"
    assert times.between(0, began).total() == times.between(ended, ended + 9).total() == 0
    middle = (began + ended) / 2
    halves = times.between(began, middle).total() + times.between(middle, ended).total()
    assert halves == pytest.approx(whole)


def test_a_process_that_takes_another_name_keeps_what_it_took() -> None:
    times, process = CpuTimes(), psutil.Process()
    times.look([process])
    (seen,) = times._seen.values()
    seen.kind = "ray::IDLE"
    times.look([process])
    assert list(times.between(0, time.time())) == [seen.kind] != ["ray::IDLE"]


def test_a_runs_own_processes_are_told_from_rays() -> None:
    assert [
        kind for kind in ("driver", "ray::_Process.run", "ray::_Process", "ray::IDLE", "raylet") if is_own(kind)
    ] == [
        "driver",
        "ray::_Process.run",
        "ray::_Process",
    ]


def test_memory_of_a_child_counts(tmp_path: Path) -> None:
    hold = "import time; held = b'x' * 200_000_000; time.sleep(1)"
    command = [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold!r}])"]
    assert 200e6 < measure(command, tmp_path / "log").peak_bytes < 300e6
    with pytest.raises(subprocess.CalledProcessError):
        measure([sys.executable, "-c", "raise SystemExit(3)"], tmp_path / "log")


def test_the_table_of_the_readme_holds_what_is_judged() -> None:
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


def test_the_readme_has_a_place_for_the_table() -> None:
    text = README.read_text()
    found = put_into(put_into(text, "an older one\n"), "a table\n")
    assert found.count("a table\n") == 1
    assert "an older one" not in found
    before, after = found.split("a table\n")
    assert text.startswith(before)
    assert text.endswith(after)
    with pytest.raises(ValueError, match="has no table"):
        put_into("nothing", "a table")


def test_unknown_benchmarks_are_named() -> None:
    command = [sys.executable, "-m", "tests.benchmarks", "nonsense"]
    warnings = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert warnings.returncode == 1
    assert "Unknown benchmarks: nonsense. Known: network, stages" in warnings.stderr
