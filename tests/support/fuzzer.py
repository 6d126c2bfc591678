"""Runs that start from damaged files: each must end with sound results, or with a message and nothing else.

``python -m tests.support.fuzzer --count 5000 --seed 1`` prints what became of each kind of damage, and what went wrong
with the seed that repeats it: ``--case 1:1234 --keep DIR`` runs that one again and leaves its files. ``--only KIND``
makes cases of one kind. Every case runs in a worker process that lives on, is watched from outside, and is replaced
when it dies or falls silent.
"""

import argparse
import json
import os
import re
import resource
import select
import shutil
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from random import Random
from time import perf_counter

from tests.support.fuzz_bundles import bundle_case
from tests.support.fuzz_case import Case, Result, run_case
from tests.support.fuzz_damage import damaged_case, make_everything
from tests.support.fuzz_files import Base
from tests.support.fuzz_settings import settings_case

Maker = Callable[[Sequence[Base], Random, str], Case]

MAKERS: dict[str, tuple[int, Maker]] = {
    "damage": (60, damaged_case), "settings": (20, settings_case), "bundles": (20, bundle_case),
}  # fmt: skip
"""Kinds of cases: their share in percent, and what makes one of sound files, a random generator and the case's seed."""
LIMIT_S = 30.0
LIMIT_BYTES = 4 << 30
"""What a case may take beyond an idle worker."""
STACK_BYTES = 256 * 8 << 20
"""Address space of the stacks of 256 threads, which a case may ask for; little of it becomes memory."""
C_LIBRARIES = re.compile(r"libpng (error|warning): .*|_tiff\w+Proc: .*|(Error|Warning): Key \w+ of .*")
"""What libpng inside MRF, libtiff and libgeotiff print themselves, past GDAL's and anyone's error handler."""


def make_case(bases: Sequence[Base], seed: str) -> Case:
    """The case of a seed: always the same one. ``KIND@...`` is a case of that kind."""
    random = Random(seed)
    only = seed.rpartition("@")[0]
    kind = only or random.choices(list(MAKERS), [share for share, _ in MAKERS.values()])[0]
    return MAKERS[kind][1](bases, random, seed)


class Worker:
    """A process that runs case after case, seen from outside."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, seed: str) -> Result:
        """Have a case run; a worker that dies or falls silent is replaced."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.fuzzer", "--serve", self._folder],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, env=os.environ | {"OMP_NUM_THREADS": "1"},
            )  # fmt: skip
            self._process.stdout.readline()
        self._process.stdin.write(f"{seed}\n".encode())
        started = perf_counter()
        ready, _, _ = select.select([self._process.stdout], [], [], LIMIT_S)
        line = self._process.stdout.readline() if ready else b""
        if line:
            return Result(**json.loads(line))
        self.close()
        outcome = "crash" if ready else "hang"
        why = f"the worker ended with {self._code}" if ready else f"no end after {LIMIT_S:.0f} s"
        return Result(seed, "", outcome, outcome, why, perf_counter() - started, 0, [why])

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.stdin.close()
            try:
                self._code = self._process.wait(2)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._code = self._process.wait()
            self._process.stdout.close()
            self._process = None


def serve(folder: Path) -> None:
    """Run the cases whose seeds come in, one a line; a line of JSON goes out for each."""
    bases = make_everything(folder / f"worker{os.getpid()}")
    replies = os.fdopen(os.dup(1), "w")
    said = (folder / f"stderr{os.getpid()}").open("w+b")
    os.dup2(said.fileno(), 1)
    os.dup2(said.fileno(), 2)
    run_sound(bases, folder / f"sound{os.getpid()}")
    soft = _status("VmSize") + LIMIT_BYTES + STACK_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (soft, soft))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    replies.write("ready\n")
    replies.flush()
    for line in sys.stdin:
        said.truncate(0)
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak of earlier cases
        idle = _status("VmRSS")
        with tempfile.TemporaryDirectory(dir=folder) as place:
            result = run_case(make_case(bases, line.strip()), Path(place))
        result.peak_mib = (_status("VmHWM") - idle) >> 20
        said.seek(0)
        if text := C_LIBRARIES.sub("", said.read().decode(errors="replace").strip("\0\n")).strip():
            result.problems.append(f"it printed: {text[:2000]}")
        if result.peak_mib > LIMIT_BYTES >> 20:
            result.problems.append(f"it took {result.peak_mib} MiB")
        replies.write(json.dumps(asdict(result)) + "\n")
        replies.flush()


def run_sound(bases: Sequence[Base], folder: Path) -> None:
    """Run an undamaged case, so that everything is imported and compiled."""
    case = Case("", bases[0].name, bases[0].scene, "none", bases[0].scene, bases[0].files)
    if problems := run_case(case, folder).problems:
        raise RuntimeError(f"A sound scene fails: {problems}")


def _status(name: str) -> int:
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1]) << 10


def run_cases(seeds: Iterable[str], folder: Path, workers: int = 1) -> Iterator[Result]:
    """Run cases in worker processes, in order of the seeds."""
    idle = [Worker(folder) for _ in range(workers)]

    def one(seed: str) -> Result:
        worker = idle.pop()
        try:
            return worker.run(seed)
        finally:
            idle.append(worker)

    try:
        with ThreadPoolExecutor(workers) as pool:
            yield from pool.map(one, seeds)
    finally:
        for worker in idle:
            worker.close()


def table(results: Sequence[Result]) -> str:
    """Kinds of damage against outcomes, the slowest and largest case, and what went wrong."""
    outcomes = ("published", "scene refused", "settings refused", "crash", "hang")
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for result in results:
        counts[result.kind][result.outcome] += 1
        counts["all"][result.outcome] += 1
    lines = [f"{'':30}" + "".join(f"{outcome:>18}" for outcome in outcomes)]
    lines += [f"{kind:30}" + "".join(f"{counts[kind][o]:>18}" for o in outcomes) for kind in sorted(counts)]
    slowest, largest = max(results, key=lambda r: r.seconds), max(results, key=lambda r: r.peak_mib)
    lines.append(f"slowest: {slowest.seconds:.1f} s, case {slowest.seed} ({slowest.label})")
    lines.append(f"largest: {largest.peak_mib} MiB, case {largest.seed} ({largest.label})")
    failures = [result for result in results if result.problems]
    lines += [f"FAILED {r.seed} ({r.label}): {'; '.join(r.problems)}\n    said: {r.message}" for r in failures]
    return "\n".join([*lines, f"{len(results)} cases, {len(failures)} failed"])


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--only", choices=MAKERS, help="kind of cases")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--case", help="run this one alone, in this process, such as 1:1234")
    parser.add_argument("--keep", type=Path, help="with --case: leave its files here")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve)
        return 0
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if given.case:
            target = given.keep or folder / "case"
            shutil.rmtree(target, ignore_errors=True)
            results = [run_case(make_case(make_everything(folder), given.case), target.absolute())]
        else:
            kind = f"{given.only}@" if given.only else ""
            seeds = (f"{kind}{given.seed}:{number}" for number in range(given.start, given.start + given.count))
            results = list(run_cases(seeds, folder, given.workers))
    sys.stdout.write(table(results) + "\n")
    return int(any(result.problems for result in results))


if __name__ == "__main__":
    sys.exit(main())
