"""A run compared with a typical script: the same scene, network and number of threads."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from geoseg.demo.command import BUNDLE
from tests.benchmarks.commands import read_report, segment_command, warm_up
from tests.benchmarks.figure import Figure
from tests.benchmarks.processes import measure
from tests.benchmarks.scenes import landscape, shrunk

SIDE_PX = 8192
THREADS = 2
WORKERS = {"run.device": "cpu", "run.workers": THREADS, "run.threads": 1}
TIMES_FASTER = 4
MOST_MEMORY = 1 / 3
WAYS = {"inline": "geoseg in one process", "local": "geoseg on a Ray of its own"}
"""By ``run.address``."""
MIB = 2**20


def run(folder: Path) -> Iterator[Figure]:
    """Time and weigh the usual way, then `geoseg segment` in threads of one process and on a Ray of its own."""
    if find_spec("monai") is None:
        yield Figure("usual", "MONAI is not installed; `make bench` does", None, "")
        return
    warm_up(folder)
    side = shrunk(SIDE_PX)
    scene, log = landscape(folder, side), folder / "usual.log"
    command = [sys.executable, "-m", "tests.benchmarks.usual_way", str(scene), str(BUNDLE)]
    usual = _run([[*command, str(folder / "usual.parquet"), str(THREADS)]] * 2, log)
    said = json.loads(log.read_text().splitlines()[-1])
    for address, name in WAYS.items():
        outputs = [folder / f"{address}-{number}" for number in range(2)]
        settings = {"run.address": address, **WORKERS}
        commands = [segment_command(scene, BUNDLE, output, settings) for output in outputs]
        ours = _run(commands, folder / f"{address}.log")
        report = read_report(outputs[0])
        yield Figure(
            "usual", f"{side} x {side} px the usual way, first byte read to file written", said["seconds"], "s",
            report["seconds"], name, least=TIMES_FASTER,
        )  # fmt: skip
        yield Figure("usual", "  the whole process, with its start and Ray's", usual.seconds, "s", ours.seconds, name)
        # Ray's processes alone take two gigabytes, for any scene.
        yield Figure(
            "usual", f"  peak memory of {name}", ours.peak_bytes / MIB, "MiB", usual.peak_bytes / MIB, "the usual way",
            limit=MOST_MEMORY if address == "inline" else None,
        )  # fmt: skip
        yield Figure(
            "usual", f"  polygons, {name}", report["scenes"][0]["polygons"], "", said["polygons"], "the usual way"
        )


class _Taken(NamedTuple):
    """What a command took."""

    seconds: float
    peak_bytes: int


def _run(commands: Sequence[Sequence[str]], log: Path) -> _Taken:
    """Run a command twice, for its time and for its memory, since sampling the memory takes CPU time."""
    started = perf_counter()
    with log.open("w") as output:
        subprocess.run(commands[0], check=True, stdout=output, stderr=subprocess.STDOUT)
    seconds = perf_counter() - started
    return _Taken(seconds, measure(commands[1], log.with_suffix(".memory.log")).peak_bytes)
