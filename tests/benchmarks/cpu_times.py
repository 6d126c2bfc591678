"""CPU time of a command and of everything it starts, by kind of process and between any two moments.

A process may change its name (Ray's workers do) and end; what it took counts under the last name it was seen with.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from tests.benchmarks.processes import DRIVER, kind_of, watch

PAUSE_S = 0.2
ACTOR = "ray::Process"
"""Process names of the actors of a run, or their prefixes."""


@dataclass(slots=True)
class _Seen:
    kind: str
    times: list[float]
    """Seconds since 1970, from the last moment at which the process was not there yet.

    Not from when the kernel says that it began: that is told from a time of boot in whole seconds.
    """
    cpu_s: list[float] = field(default_factory=lambda: [0.0])
    """CPU seconds of all its threads up to then."""


class CpuTimes:
    """Sampled CPU times of processes."""

    def __init__(self) -> None:
        self._seen: dict[psutil.Process, _Seen] = {}
        self._looked = time.time()

    def look(self, members: Sequence[psutil.Process]) -> None:
        """Take down what living processes have taken, all that began since the last look among them."""
        before, self._looked = self._looked, time.time()
        for process in members:
            try:
                seen = self._seen.setdefault(process, _Seen("", [before]))
                taken, seen.kind = process.cpu_times(), kind_of(process)
            except psutil.Error:  # the process has ended
                continue
            seen.times.append(time.time())
            seen.cpu_s.append(taken.user + taken.system)

    def between(self, start: float, end: float) -> Counter[str]:
        """CPU seconds by kind of process between two moments, in seconds since 1970."""
        sums: Counter[str] = Counter()
        for seen in self._seen.values():
            before, after = np.interp([start, end], seen.times, seen.cpu_s)
            sums[seen.kind] += float(after - before)  # type: ignore[assignment]
        return sums


def watch_cpu(command: Sequence[str], log: Path) -> CpuTimes:
    """Run a command to its end; arguments and errors are those of `watch`."""
    times = CpuTimes()
    watch(command, log, times.look, PAUSE_S)
    return times


def is_own(kind: str) -> bool:
    """Whether a process belongs to the run (driver or actor) and not to Ray."""
    return kind == DRIVER or kind.startswith(ACTOR)
