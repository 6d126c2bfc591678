"""Runs that start from damaged files: each must end with sound results, or with a message and nothing else.

``python -m tests.support.fuzzer --count 5000 --seed 1`` prints what became of each kind of damage, and what went wrong
with the seed that repeats it: ``--case 1:1234 --keep DIR`` runs that one again and leaves its files. Every case runs
in a worker process that lives on, is watched from outside, and is replaced when it dies or falls silent.
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
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from time import perf_counter

import pyarrow.parquet as pq
import rasterio

from geoseg.config import load_settings
from geoseg.errors import GeosegError
from geoseg.raster.env import quiet
from geoseg.run.segment import segment
from tests.support.bundles import identity_bundle, write_bundle
from tests.support.fuzz_files import Base, make_bases
from tests.support.mutations import mutations

LIMIT_S = 30.0
LIMIT_BYTES = 4 << 30
"""What a case may take beyond an idle worker."""
LONGEST_MESSAGE = 2000
OTHER_TARGETS = {"bundle/model.json": 3, "bundle/weights.safetensors": 2, "config.yaml": 2}
"""Percent of cases that damage these instead of the scene."""
REMEDY = re.compile(
    r"\b(Fetch|fetch|Use|use|Give|Set|Convert|convert|Restore|[Bb]uild|Name|Add|Rectify|Write|Check|Correct|Expand|Start|Copy|"
    r"Export|Rename|See|Mask|Mend|such as|Did you mean|is not valid|is not allowed|does not describe)\b"
)
C_LIBRARIES = re.compile(r"libpng (error|warning): .*|_tiff\w+Proc: .*|(Error|Warning): Key \w+ of .*")
"""What libpng inside MRF, libtiff and libgeotiff print themselves, past GDAL's and anyone's error handler."""
CONFIG = """\
# What the fuzzer runs with; the flags give paths and executor.
scene: {bands: [1], nodata_rule: any, allow_ungeoreferenced: false, observed_at: 2026-06-21T10:30:00Z}
tiling:
  patch_px: 32
  overlap_px: 8
run: {batch_size: 1, threads: 1, memory_gib: 0.5}
polygons:
  crs: native
  simplify_px: 1.0
  min_area_px: 0
  not_dissolved: [class0]
"""


@dataclass(frozen=True, slots=True)
class Case:
    """One run to try."""

    seed: str
    base: str
    target: str
    """The file that is damaged."""
    kind: str
    """How."""
    scene: str
    files: dict[str, bytes]
    """All files of the run by their path, the damaged one included."""


@dataclass(slots=True)
class Result:
    """What became of a case."""

    seed: str
    label: str
    """Base, target and kind of damage."""
    kind: str
    outcome: str
    """``published``, ``scene refused``, ``settings refused``, ``crash`` or ``hang``."""
    message: str = ""
    seconds: float = 0.0
    peak_mib: int = 0
    problems: list[str] = field(default_factory=list)


def make_everything(folder: Path) -> list[Base]:
    """Sound scenes, and beside each the bundles and the settings, in memory."""
    identity = identity_bundle(folder / "identity", patch_px=32)
    unet = write_bundle(folder / "unet", "unet", bands=1, classes=6, arguments={"width": 2, "depth": 1})
    shared = {f"{name}/{file.name}": file.read_bytes() for name, bundle in (("bundle", identity), ("unet", unet))
              for file in sorted(bundle.iterdir())}  # fmt: skip
    shared["config.yaml"] = CONFIG.encode()
    return [
        Base(base.name, f"in/{base.scene}", {**{f"in/{name}": data for name, data in base.files.items()}, **shared})
        for base in make_bases(folder / "bases")
    ]


def damage(data: bytes, random: Random) -> tuple[str, bytes]:
    """Change a file in one of the ways that mean something for it; the way's name and the bytes."""
    kinds = mutations(data)
    kind = random.choice(sorted(kinds))
    return kind, kinds[kind](data, random)


def make_case(bases: Sequence[Base], seed: str) -> Case:
    """The case of a seed: always the same one."""
    random = Random(seed)
    base = random.choice(bases)
    files = dict(base.files)
    target = random.choices(["scene", *OTHER_TARGETS], [100 - sum(OTHER_TARGETS.values()), *OTHER_TARGETS.values()])[0]
    if target.startswith("bundle/"):  # the identity has no weights to damage
        files |= {name.replace("unet/", "bundle/"): data for name, data in files.items() if name.startswith("unet/")}
    if target == "scene":
        target = random.choice([base.scene, *(name for name in base.files if name.startswith("in/"))])
    kind, files[target] = damage(files[target], random)
    return Case(seed, base.name, target, kind, base.scene, files)


def run_case(case: Case, folder: Path) -> Result:
    """Run a case in an empty folder and look at what it left and said."""
    for name, data in case.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    result = Result(case.seed, f"{case.base} / {case.target} / {case.kind}", case.kind, "crash")
    output, started = folder / "out", perf_counter()
    flags = {"scenes": [str(folder / case.scene)], "model": str(folder / "bundle"), "output": str(output)}
    try:
        report = segment(load_settings(folder / "config.yaml", (), flags | {"run.address": "inline"}, {}))
    except GeosegError as error:
        result.outcome, result.message = "settings refused", str(error)
    except Exception:  # noqa: BLE001  whatever else comes out is what the fuzzer looks for
        result.message = traceback.format_exc()
        result.problems.append(f"traceback: {result.message}")
    else:
        result.outcome = "scene refused" if report.exit_code else "published"
        result.message = " ".join(scene.get("error", "") for scene in report.scenes)
    result.seconds = perf_counter() - started
    look: Callable[[Case, Path, str], Iterator[str]] = _published if result.outcome == "published" else _refused
    result.problems += look(case, folder, result.message)
    return result


def _published(case: Case, folder: Path, _: str) -> Iterator[str]:
    with quiet, rasterio.open(folder / case.scene) as source:
        shape = source.shape
    rasters = sorted((folder / "out/rasters").rglob("*.tif"))
    if [path.name for path in rasters] != ["classes.tif", "confidence.tif"]:
        yield f"published {rasters}"
    for path in rasters:
        with rasterio.open(path) as dataset:
            if dataset.shape != shape:
                yield f"{path.name} has shape {dataset.shape}, the scene {shape}"
            dataset.read(1)
    for part in (folder / "out/polygons").rglob("*.parquet"):
        pq.read_table(part)
    if (folder / "out/.work").exists():
        yield ".work is left behind"


def _refused(case: Case, folder: Path, message: str) -> Iterator[str]:
    if left := [path for place in ("rasters", "polygons", ".work") for path in (folder / "out" / place).rglob("*")]:
        yield f"partial output {left}"
    if (folder / "out/.work").exists():
        yield ".work is left behind"
    if case.target != "config.yaml" and not any(str(folder / name) in message for name in case.files):
        yield "the message names no file"
    if re.search(r": (unexpected \w+|out of memory):", message):
        yield "nobody put it into words"
    if case.target.startswith("in/") and not (folder / "out/runs").exists():
        yield "one bad scene ends the whole run"
    if not REMEDY.search(message):
        yield "the message holds no remedy"
    if len(message) > LONGEST_MESSAGE:
        yield f"the message has {len(message)} characters"


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
    soft = _status("VmSize") + LIMIT_BYTES
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
            seeds = (f"{given.seed}:{number}" for number in range(given.start, given.start + given.count))
            results = list(run_cases(seeds, folder, given.workers))
    sys.stdout.write(table(results) + "\n")
    return int(any(result.problems for result in results))


if __name__ == "__main__":
    sys.exit(main())
