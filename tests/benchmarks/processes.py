"""Run a command and watch it and everything it starts, Ray's daemons included; its memory.

A process belongs to the command if the mark that was put into the command's environment stands in its own, which
children inherit whoever adopts them later. Counted are the proportional set size (PSS) of each process without shared
memory, so that a library mapped by ten processes counts once, and the allocated pages of every file in ``/dev/shm``
that one of them holds open: Ray's object store, which no process's own PSS tells in full.
"""

import os
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

PAUSE_S = 0.05
"""Between two samples, each of which takes about as long itself."""
MARK = "BENCHMARK_RUN"
OBJECT_STORE, DRIVER = "object store", "driver"


@dataclass(slots=True)
class Usage:
    """What a command took."""

    seconds: float = 0.0
    peak_bytes: int = 0
    """Most bytes of all processes and the object store at one time."""
    at_peak: dict[str, int] = field(default_factory=dict)
    """Bytes by kind of process at that time."""
    peaks: dict[str, int] = field(default_factory=dict)
    """Most bytes of each kind of process at any time."""
    processes: int = 0
    """Most processes at one time."""
    samples: int = 0


def measure(command: Sequence[str], log: Path, pause_s: float = PAUSE_S) -> Usage:
    """Run a command to its end and watch its memory.

    Args:
        command: What to run.
        log: Where its output goes.
        pause_s: Between two samples.

    Raises:
        subprocess.CalledProcessError: If the command fails.
    """
    usage = Usage()
    usage.seconds = watch(command, log, lambda members: _sample(usage, members), pause_s)
    return usage


def watch(
    command: Sequence[str], log: Path, look: Callable[[Sequence[psutil.Process]], None], pause_s: float = PAUSE_S
) -> float:
    """Run a command to its end and look at its processes now and then; the seconds it took.

    Args:
        command: What to run.
        log: Where its output goes.
        look: Called with all of its living processes.
        pause_s: Between two looks.

    Raises:
        subprocess.CalledProcessError: If the command fails.
    """
    mark, known = uuid.uuid4().hex, dict[psutil.Process, bool]()
    started = time.perf_counter()
    with log.open("w") as output:
        environment = {**os.environ, MARK: mark, "RAY_USAGE_STATS_ENABLED": "0"}
        child = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
        while child.poll() is None:
            look(list(_members(mark, known)))
            time.sleep(pause_s)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, command, log.read_text())
    return time.perf_counter() - started


def kind_of(process: psutil.Process) -> str:
    """Name of a process; Ray's workers call themselves by what they do."""
    line = process.cmdline()
    if line and line[0].startswith("ray::"):
        return line[0].split("(")[0].strip()
    if any(part.endswith("/geoseg") for part in line):
        return DRIVER
    return next((Path(part).stem for part in line if part.endswith(".py")), process.name())


def _members(mark: str, known: dict[psutil.Process, bool]) -> Iterator[psutil.Process]:
    """Living processes with the mark; each process's environment is read once."""
    for process in psutil.process_iter():
        try:
            # Just after exec the environment reads as empty: such a process is looked at again.
            if process not in known and (environment := process.environ()):
                known[process] = environment.get(MARK) == mark
            if known.get(process):
                yield process
        except psutil.Error:
            continue


def _sample(usage: Usage, members: Sequence[psutil.Process]) -> None:
    sizes: Counter[str] = Counter()
    shared: dict[tuple[int, int], int] = {}
    for process in members:
        try:
            sizes[kind_of(process)] += _private_bytes(process.pid)
            shared.update(_shared_files(process.pid))
        except (psutil.Error, OSError):  # it ended while it was looked at
            continue
    sizes[OBJECT_STORE] = sum(shared.values())
    usage.samples += 1
    usage.processes = max(usage.processes, len(members))
    for kind, size in sizes.items():
        usage.peaks[kind] = max(size, usage.peaks.get(kind, 0))
    if sizes.total() > usage.peak_bytes:
        usage.peak_bytes, usage.at_peak = sizes.total(), dict(sizes)


def _private_bytes(pid: int) -> int:
    """PSS without shared memory."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kilobytes = {name: int(value.split()[0]) for name, value in (line.split(":") for line in lines)}
    return (kilobytes["Pss"] - kilobytes["Pss_Shmem"]) * 1024


def _shared_files(pid: int) -> dict[tuple[int, int], int]:
    """Allocated bytes of the files in /dev/shm that a process holds open, by device and inode."""
    found = {}
    for entry in os.scandir(f"/proc/{pid}/fd"):
        try:
            if os.readlink(entry.path).startswith("/dev/shm/"):  # noqa: PTH115, S108
                status = entry.stat()
                found[status.st_dev, status.st_ino] = status.st_blocks * 512
        except OSError:
            continue
    return found
