"""`geoseg segment` in a separate process, which tests stop, freeze or kill at chosen points."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Self

from geoseg.config import FAULT_VARIABLE

ROOT = Path(__file__).parents[2]


class Halt:
    """A point of a run at which it waits until it is told to go on.

    Two FIFOs stand in for the files of two ``note`` rules: a process that opens one to write waits for a reader.
    """

    def __init__(self, folder: Path, point: str) -> None:
        folder.mkdir(exist_ok=True)
        self._came, self._go = folder / "came", folder / "go"
        for fifo in (self._came, self._go):
            os.mkfifo(fifo)
        self.rule = ",".join(f"{point}:note={fifo}" for fifo in (self._came, self._go))
        self._reader = os.open(self._came, os.O_RDONLY | os.O_NONBLOCK)

    def wait(self, command: "Command", seconds: float = 90) -> None:
        """Wait until the run reaches the point."""
        until = monotonic() + seconds
        came = False
        while not came and command.popen.poll() is None and monotonic() < until:
            came = bool(select.select([self._reader], [], [], 0.5)[0])
        os.close(self._reader)
        if not came:
            raise AssertionError(f"the run did not come here: {command.kill().text}")

    def release(self) -> None:
        """Let the run continue."""
        with self._go.open("rb") as fifo:
            fifo.read()


@dataclass(frozen=True)
class Ended:
    """Result of a command."""

    code: int
    text: str
    """What it printed, errors too."""


class Command:
    """A running `geoseg`."""

    def __init__(self, *words: object, environment: Mapping[str, str] | None = None) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "geoseg.cli", *map(str, words)],
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._ended: Ended | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._ended is None:
            self.kill()

    def end(self, seconds: float = 120) -> Ended:
        """Wait for its end."""
        try:
            return self._end(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"no end after {seconds:g} s: {self.kill().text}") from None

    def kill(self) -> Ended:
        """Kill it, as the kernel does if memory runs out."""
        self.popen.kill()
        return self._end(None)

    def _end(self, seconds: float | None) -> Ended:
        text, _ = self.popen.communicate(timeout=seconds)
        self._ended = Ended(self.popen.returncode, text)
        return self._ended

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, and no other process."""
        self.popen.send_signal(number)


def segment(
    scene: object, bundle: Path, output: object, *words: object, fault: str = "", **environment: str
) -> Command:
    """Start ``geoseg segment``, inline unless the words say otherwise, in blocks of 48 pixels."""
    scenes = scene if isinstance(scene, list) else [scene]
    asked: list[Any] = [*scenes, "--model", bundle, "--output", output, "--set", "tiling.block_px=48", *words]
    if "--address" not in words:
        asked += ["--address", "inline"]
    return Command("segment", *asked, environment={**environment, FAULT_VARIABLE: fault})


@contextmanager
def halted(folder: Path, point: str, *args: Any, **more: Any) -> Iterator[tuple[Command, Halt]]:
    """Start a run and wait until it is at a point."""
    halt = Halt(folder, point)
    with segment(*args, fault=halt.rule, **more) as command:
        halt.wait(command)
        yield command, halt
