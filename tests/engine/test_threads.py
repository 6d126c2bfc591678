"""The executor that runs units in several threads of one process."""

import gc
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from geoseg.config import FAULT_VARIABLE, RunSettings
from geoseg.engine.threads import ThreadsExecutor
from geoseg.errors import SettingsError
from geoseg.model.hardware import Hardware
from geoseg.raster.source.env import without_georeference_warning
from geoseg.stages import reading, scoring
from tests.support.scenes import digests, run, textured, write_scene

TILING = {"block_px": 48}
THREADS = {"address": "inline", "workers": 3}


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())  # faults of other tests left some hanging
    yield
    assert [thread for thread in workers() if thread not in before] == []


def workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "geoseg worker"]


def test_units_run_side_by_side(
    inputs: tuple[Path, Path], reference: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = tmp_path / "notes"
    monkeypatch.setenv(FAULT_VARIABLE, f"predict:*:*:*:note={notes}")
    report = run(*inputs, tmp_path / "out", tiling=TILING, run=THREADS)
    assert (report.workers, report.executor) == (3, "this process, 3 threads")
    assert digests(tmp_path / "out") == reference
    points = [line.split(":")[1] for line in notes.read_text().splitlines()]
    depth = [points[:place].count("start") - points[:place].count("end") for place in range(len(points))]
    assert max(depth) > 1


def test_a_unit_that_hangs_is_abandoned_and_repeated(
    inputs: tuple[Path, Path], reference: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleep, over, before = time.sleep, threading.Event(), set(workers())

    def hang(seconds: float) -> None:  # the fault sleeps for ever; here it ends with the test
        if seconds < 60:
            sleep(seconds)
        elif over.wait(60):
            raise RuntimeError

    monkeypatch.setattr(time, "sleep", hang)
    monkeypatch.setenv(FAULT_VARIABLE, "predict:end:r0001c0002:1:hang,trace:start:r0000c0000:1:hang")
    report = run(*inputs, tmp_path, tiling=TILING, run={**THREADS, "unit_timeout_s": 2.0})
    assert (report.exit_code, report.retries) == (0, 2)
    assert digests(tmp_path) == reference
    assert any("2 units of work still run in this process" in warnings for warnings in report.warnings)
    over.set()
    for thread in set(workers()) - before:
        thread.join(60)


def test_scenes_fail_alone(inputs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenes = [write_scene(tmp_path / f"{name}.tif", textured(60, 60), nodata=0) for name in "abc"]
    monkeypatch.setenv(FAULT_VARIABLE, "finish:start:r0001c0000:1:raise,publish:start:classes:*:oom")
    report = run([*scenes, inputs[0]], inputs[1], tmp_path / "out", tiling=TILING, run=THREADS)
    assert report.exit_code == 3
    assert len(report.failed) == 4
    assert all("fault asked for" in scene["error"] for scene in report.failed)
    monkeypatch.delenv(FAULT_VARIABLE)
    assert run([*scenes, inputs[0]], inputs[1], tmp_path / "out", tiling=TILING, run=THREADS).exit_code == 0


@pytest.mark.parametrize("address", [{"address": "inline"}, THREADS], ids=["inline", "threads"])
def test_a_failed_unit_keeps_no_pixels(
    inputs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: dict[str, object]
) -> None:
    """Checked without the garbage collector, because large arrays do not trigger it."""
    held: list[weakref.ref[np.ndarray]] = []
    read = reading.read_around_holes

    def watched(*args: Any) -> Any:
        raw = read(*args)
        held.append(weakref.ref(raw.pixels))
        return raw

    monkeypatch.setattr(reading, "read_around_holes", watched)
    monkeypatch.setenv(FAULT_VARIABLE, "predict:start:r0001c0001:*:oom")
    gc.collect()
    gc.disable()
    try:
        report = run(*inputs, tmp_path, tiling=TILING, run=address)
        assert len(report.failed) == 1
        assert [ref() for ref in held if ref() is not None] == []
    finally:
        gc.enable()


def test_what_would_end_a_process_ends_the_unit(
    inputs: tuple[Path, Path], reference: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, finish = [], scoring.finish

    def once(*args: Any) -> Any:
        calls.append(args)
        if len(calls) == 3:
            raise SystemExit("a library's panic")
        return finish(*args)

    monkeypatch.setattr(scoring, "finish", once)
    report = run(*inputs, tmp_path, tiling=TILING, run=THREADS)
    assert (report.exit_code, report.retries) == (0, 1)
    assert digests(tmp_path) == reference


def test_scenes_without_a_georeference_warn_of_nothing(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    """Reading disables rasterio's warnings for a moment in all threads; warnings are errors in tests."""
    with without_georeference_warning:
        scene = write_scene(tmp_path / "s.tif", textured(203, 267), nodata=0, crs=None, transform=None)
    settings = {"tiling": {"block_px": 24}, "scene": {"allow_ungeoreferenced": True}}
    report = run(scene, inputs[1], tmp_path / "out", run=THREADS, **settings)
    assert report.failed == []


def test_more_workers_than_one_are_refused_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    # No machine needs a GPU to be told so.
    monkeypatch.setattr("geoseg.engine.inline.find_hardware", lambda name: Hardware(name, "GPU", bf16=True))
    with pytest.raises(SettingsError, match=r"run.workers=2 with run.address=inline is for CPUs.*run.device=cpu"):
        ThreadsExecutor(RunSettings(address="inline", device="cuda", workers=2), 2)
