"""SIGINT and SIGTERM: a run stops soon, prints how to resume it, and leaves no process behind."""

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.support.commands import Command, halted, segment
from tests.support.scenes import digests

INLINE, LOCAL = ("--address", "inline"), ("--address", "local", "--set", "run.workers=1")
THREADS = (*INLINE, "--set", "run.workers=2")
MID_RUN, PUBLISHING = "predict:start:r0002c0001:*", "publish:start:classes:*"
ON_RAY = pytest.param(LOCAL, marks=[pytest.mark.ray, pytest.mark.slow], id="ray")
EXECUTORS = [pytest.param(INLINE, id="inline"), pytest.param(THREADS, marks=pytest.mark.slow, id="threads"), ON_RAY]


def descendants(command: Command) -> list[psutil.Process]:
    return psutil.Process(command.popen.pid).children(recursive=True)


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    _, left = psutil.wait_procs(processes, timeout=15)
    return left


@pytest.mark.parametrize("words", EXECUTORS)
@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_a_signal_stops_a_run_and_the_same_command_resumes_it(
    inputs: tuple[Path, Path],
    reference: dict[str, str],
    tmp_path: Path,
    words: tuple[str, ...],
    signum: signal.Signals,
    code: int,
) -> None:
    output = tmp_path / "out"
    with halted(tmp_path / "halt", MID_RUN, *inputs, output, *words) as (command, halt):
        others = descendants(command)
        assert bool(others) == (words == LOCAL)
        command.signal(signum)
        halt.release()
        ended = command.end()
        assert ended.code == code, ended.text
        assert f"stopped: {signum.name}. What is done is kept: the same command goes on from there." in ended.text
        assert "Traceback" not in ended.text
        assert alive(others) == []
    assert digests(output) == {}
    assert not (output / ".lock").exists()
    again = segment(*inputs, output, *words).end()
    assert again.code == 0, again.text
    assert "blocks done by an earlier run" in again.text
    assert digests(output) == reference
    assert not (output / ".work").exists()


@pytest.mark.slow
@pytest.mark.parametrize("words", EXECUTORS)
def test_a_scene_that_is_being_published_is_finished_first(
    inputs: tuple[Path, Path], reference: dict[str, str], tmp_path: Path, words: tuple[str, ...]
) -> None:
    output = tmp_path / "out"
    with halted(tmp_path / "halt", PUBLISHING, *inputs, output, *words) as (command, halt):
        others = descendants(command)
        command.signal(signal.SIGTERM)
        halt.release()
        assert command.end().code == 143
        assert alive(others) == []
    assert digests(output) == reference
    assert not (output / ".work").exists()
    again = segment(*inputs, output, *words).end()
    assert again.code == 0
    assert "up to date" in again.text


@pytest.mark.slow
@pytest.mark.parametrize("words", EXECUTORS)
def test_a_second_interrupt_ends_it_at_once(
    inputs: tuple[Path, Path], reference: dict[str, str], tmp_path: Path, words: tuple[str, ...]
) -> None:
    """A unit of work hangs, so the run cannot stop by itself."""
    output = tmp_path / "out"
    with halted(tmp_path / "halt", MID_RUN, *inputs, output, *words) as (command, _):
        others = descendants(command)
        command.signal(signal.SIGINT)
        time.sleep(0.5)  # two that come at once are one
        command.signal(signal.SIGINT)
        ended = command.end(30)
        assert ended.code == 130
        assert "Traceback" not in ended.text
        assert alive(others) == []
    assert not (output / ".lock").exists()
    assert segment(*inputs, output, *words).end().code == 0
    assert digests(output) == reference


@pytest.mark.ray
@pytest.mark.slow
def test_control_c_in_a_terminal_reaches_all_processes(
    inputs: tuple[Path, Path], reference: dict[str, str], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    with halted(tmp_path / "halt", MID_RUN, *inputs, output, *LOCAL) as (command, halt):
        others = descendants(command)
        os.killpg(command.popen.pid, signal.SIGINT)
        halt.release()
        ended = command.end()
        assert ended.code == 130, ended.text
        assert alive(others) == []
    assert segment(*inputs, output, *LOCAL).end().code == 0
    assert digests(output) == reference
