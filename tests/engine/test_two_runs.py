"""Two runs on one output: the second is refused and names the first; a run whose lock was taken over stops."""

import json
import signal
import time
from pathlib import Path

import pytest

from geoseg.store.lock import LOCK_KEY
from tests.support.commands import halted, segment
from tests.support.scenes import digests

EXPIRES_S = 60
HEARTBEAT_S = 11
"""Tests change the expiry in the lock file only; the holder notices the loss at its next heartbeat."""
MID_RUN = "predict:start:r0002c0001:*"


def change_lock(output: Path, **changes: object) -> None:
    """Change fields of the lock file, such as the machine of its holder or the time after which it expires."""
    file = output / LOCK_KEY
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def complete(output: Path, reference: dict[str, str]) -> bool:
    manifest = json.loads((output / "scenes/scene.json").read_text())
    return digests(output) == reference == {key: facts["sha256"] for key, facts in manifest["files"].items()}


def test_the_second_is_refused_and_the_first_is_not_disturbed(
    inputs: tuple[Path, Path], reference: dict[str, str], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    with halted(tmp_path / "halt", MID_RUN, *inputs, output) as (first, halt):
        run_id = json.loads((output / LOCK_KEY).read_text())["run_id"]
        second = segment(*inputs, output).end()
        assert second.code == 2
        assert f"is in use by run {run_id} on host " in second.text
        assert f"(process {first.popen.pid})" in second.text
        halt.release()
        ended = first.end()
        assert ended.code == 0, ended.text
    assert "earlier run" not in ended.text
    assert complete(output, reference)
    assert not (output / ".work").exists()


@pytest.mark.slow
def test_a_killed_run_is_taken_over_at_once(
    inputs: tuple[Path, Path], reference: dict[str, str], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    with halted(tmp_path / "halt", MID_RUN, *inputs, output) as (first, _):
        first.kill()
    assert (output / LOCK_KEY).exists()
    again = segment(*inputs, output).end(EXPIRES_S)
    assert again.code == 0, again.text
    assert "blocks done by an earlier run" in again.text
    assert complete(output, reference)


@pytest.mark.slow
def test_a_run_that_died_elsewhere_is_taken_over_when_it_expires(
    inputs: tuple[Path, Path], reference: dict[str, str], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    with halted(tmp_path / "halt", MID_RUN, *inputs, output) as (first, _):
        first.kill()
    change_lock(output, machine="another boot", host="node7", expires_s=20)
    refused = segment(*inputs, output).end()
    assert refused.code == 2
    assert "on host node7" in refused.text
    assert "is taken over after 20 s" in refused.text
    time.sleep(20)
    assert segment(*inputs, output).end().code == 0
    assert complete(output, reference)


FREEZES = [
    MID_RUN,
    "publish:start:classes:*",
    "upload:end:*/classes.tif:*",
    "commit:start:*:*",
    "commit:middle:*/classes.tif:*",
]


@pytest.mark.parametrize("point", [pytest.param(point, marks=pytest.mark.slow) for point in FREEZES])
def test_a_frozen_run_that_was_taken_over_stops_and_breaks_nothing(
    inputs: tuple[Path, Path], reference: dict[str, str], tmp_path: Path, point: str
) -> None:
    """The frozen run continues in the middle of a unit when the other run has just published."""
    output = tmp_path / "out"
    with halted(tmp_path / "halt", point, *inputs, output) as (frozen, halt):
        frozen.signal(signal.SIGSTOP)
        change_lock(output, expires_s=0)
        time.sleep(1)
        other = segment(*inputs, output).end()
        assert other.code == 0, other.text
        assert complete(output, reference)
        frozen.signal(signal.SIGCONT)
        time.sleep(HEARTBEAT_S)
        halt.release()
        ended = frozen.end()
        assert ended.code == 1, ended.text
        assert f"Another run has taken over the output {output}" in ended.text
        assert "Traceback" not in ended.text
    assert complete(output, reference)
    assert "up to date" in segment(*inputs, output).end().text


@pytest.mark.slow
@pytest.mark.parametrize("point", ["upload:end:*/classes.tif:*", "commit:middle:*/classes.tif:*"])
def test_a_frozen_run_leaves_alone_what_another_has_published_with_other_settings(
    inputs: tuple[Path, Path], tmp_path: Path, point: str
) -> None:
    """It continues at once, before its heartbeat can notice that another run holds the lock."""
    output, words = tmp_path / "out", ("--overwrite", "--set", "polygons.simplify_px=0")
    with halted(tmp_path / "halt", point, *inputs, output) as (frozen, halt):
        frozen.signal(signal.SIGSTOP)
        change_lock(output, expires_s=0, machine="elsewhere")
        other = segment(*inputs, output, *words).end()
        assert other.code == 0, other.text
        published, manifest = digests(output), (output / "scenes/scene.json").read_bytes()
        frozen.signal(signal.SIGCONT)
        halt.release()
        ended = frozen.end()
    assert ended.code == 1, ended.text
    assert f"Another run has taken over the output {output}" in ended.text
    assert "Traceback" not in ended.text
    assert (digests(output), (output / "scenes/scene.json").read_bytes()) == (published, manifest)
    assert "up to date" in segment(*inputs, output, *words).end().text


@pytest.mark.slow
def test_a_frozen_run_does_not_disturb_one_that_still_works(
    inputs: tuple[Path, Path], reference: dict[str, str], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    with halted(tmp_path / "one", MID_RUN, *inputs, output) as (frozen, halt):
        frozen.signal(signal.SIGSTOP)
        change_lock(output, expires_s=0)
        time.sleep(1)
        with halted(tmp_path / "two", "publish:start:classes:*", *inputs, output) as (other, end):
            frozen.signal(signal.SIGCONT)
            time.sleep(HEARTBEAT_S)
            halt.release()
            assert frozen.end().code == 1
            end.release()
            ended = other.end()
            assert ended.code == 0, ended.text
    assert complete(output, reference)
    assert not (output / ".work").exists()
