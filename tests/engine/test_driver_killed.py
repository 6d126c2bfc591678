"""Promise 4: the driver process is killed repeatedly, at random hook points."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from geoseg.config import FAULT_VARIABLE
from geoseg.grid.tiling import Lattice, Tiling, valid_patches
from tests.support.bundles import unet_bundle
from tests.support.fault_matrix import BLOCK_PX, ROOT, half_published, predicted, segment_command
from tests.support.scenes import digests, run, textured, write_scene

HEIGHT, WIDTH = 203, 267
PATCH_PX, OVERLAP_PX = 32, 8
WORKERS = {"inline": ["inline", "auto"], "threads": ["inline", "2"], "local": ["local", "2"]}
"""Address and number of workers."""
IN_FLIGHT = {"inline": 1, "threads": 3, "local": 6}
"""Blocks under way at a time: with Ray two for each of two workers, and two more that are read or finished."""


@dataclass(frozen=True)
class Inputs:
    scene: Path
    model: Path
    expected: dict[str, str]
    """Digests of an undisturbed run."""
    events: int
    """Hook points that an undisturbed run passes."""
    patches: dict[str, int]
    """Patches with work, by block."""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    folder = tmp_path_factory.mktemp("inputs")
    pixels, model = textured(HEIGHT, WIDTH), unet_bundle(folder / "bundle")
    scene = write_scene(folder / "scene.tif", pixels, nodata=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FAULT_VARIABLE, f"*:*:*:*:note={folder / 'notes'}")
        report = run(scene, model, folder / "out", tiling={"block_px": BLOCK_PX})
    tiling = Tiling(Lattice.of((HEIGHT, WIDTH), PATCH_PX, OVERLAP_PX), BLOCK_PX)
    valid = (pixels != 0).all(axis=0)
    whole = tiling.lattice.scene
    counts = {b.name: len(valid_patches(tiling.lattice, b, valid[b.read.slices(whole)])) for b in tiling.blocks()}
    assert sum(counts.values()) == report.patches
    return Inputs(scene, model, digests(folder / "out"), len(events(folder / "notes")), counts)


def events(notes: Path) -> set[str]:
    """The hook points that were passed, without those of the run's own records; attempts count once."""
    lines = notes.read_text().splitlines() if notes.exists() else []
    return {line.rpartition(":")[0] for line in lines if "lock.json" not in line and ".tmp" not in line}


def kill_at(command: list[str], notes: Path, moment: int) -> int:
    """Start a run and kill it after so many hook points, counted with those of earlier runs; its exit code."""
    before = notes.stat().st_size if notes.exists() else 0
    environment = {**os.environ, "PYTHONPATH": str(ROOT), FAULT_VARIABLE: f"*:*:*:*:note={notes}"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as driver:
        while driver.poll() is None and not (
            notes.exists() and notes.stat().st_size > before and len(events(notes)) >= moment
        ):
            time.sleep(0.002)
        family = psutil.Process(driver.pid).children(recursive=True) if driver.poll() is None else []
        driver.kill()
    wait_for_the_end(family)
    return driver.returncode


def wait_for_the_end(family: list[psutil.Process]) -> None:
    """Workers end by themselves when their driver has ended; Ray's agents take minutes and are killed here."""
    agents = []
    for member in family:
        with suppress(psutil.NoSuchProcess):
            if member.name().endswith("Agent"):
                agents.append(member)
                member.kill()
    _, alive = psutil.wait_procs(set(family) - set(agents), timeout=60)
    assert alive == [], "processes outlive their driver"


@pytest.mark.parametrize(
    ("executor", "kills"),
    [
        ("inline", 2),
        ("threads", 2),
        pytest.param("local", 1, marks=[pytest.mark.slow, pytest.mark.ray]),
        pytest.param("inline", 20, marks=pytest.mark.slow),
        pytest.param("threads", 20, marks=pytest.mark.slow),
        pytest.param("local", 20, marks=[pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(1200)]),
    ],
)
def test_a_driver_that_is_killed_again_and_again_comes_to_the_same_bytes(
    inputs: Inputs, tmp_path: Path, executor: str, kills: int
) -> None:
    output, notes = tmp_path / "out", tmp_path / "notes"
    address, workers = WORKERS[executor]
    command = [*segment_command(inputs.scene, inputs.model, output, address), "--set", f"run.workers={workers}"]
    # The last few are passed too fast to hit.
    moments = sorted(random.Random(kills).sample(range(1, inputs.events - 5), kills))
    codes = Counter()
    for moment in moments:
        codes[kill_at(command, notes, moment)] += 1
        assert half_published(output) == []
    assert codes == {-signal.SIGKILL: kills}
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": str(ROOT), FAULT_VARIABLE: f"predict:start:*:*:note={notes}"},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert digests(output) == inputs.expected
    assert not (output / ".work").exists()
    blocks = predicted(notes)
    assert set(blocks) == {block for block, count in inputs.patches.items() if count}
    again = blocks.total() - len(blocks)
    patches = sum(inputs.patches[block] * times for block, times in blocks.items())
    sys.stdout.write(  # shown by -rP
        f"{executor}, {kills} kills: {patches} patches predicted, the scene has {sum(inputs.patches.values())}; "
        f"{again} blocks predicted again, the scene has {len(blocks)}\n"
    )
    assert again <= kills * IN_FLIGHT[executor]
