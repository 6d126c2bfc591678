"""A run beside the script that most people would write: the same scene, network and number of threads."""

import json
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from geoseg.demo.show import BUNDLE
from tests.benchmarks.commands import read_report, segment_command, warm_up
from tests.benchmarks.figure import Figure
from tests.benchmarks.processes import measure
from tests.benchmarks.scenes import landscape, shrunk

SIDE_PX = 8192
THREADS = 2
TIMES_FASTER = 4
MOST_MEMORY = 1 / 3
ADDRESSES = {"local": {"run.workers": THREADS, "run.threads": 1}, "inline": {"run.threads": THREADS}}
"""Two workers of one thread each, or one of two."""
PAUSE_S = 0.5
"""Between two samples of memory, each of which takes a core for a twentieth of a second: they are timed as well."""
MIB = 2**20


def run(folder: Path) -> Iterator[Figure]:
    """Time and weigh the usual way, then `geoseg segment` with a Ray of its own and without Ray."""
    if find_spec("monai") is None:
        yield Figure("usual", "MONAI is not installed; `make bench` does", None, "")
        return
    warm_up(folder)
    side = shrunk(SIDE_PX)
    scene, log = landscape(folder, side), folder / "usual.log"
    command = [sys.executable, "-m", "tests.benchmarks.usual_way", str(scene), str(BUNDLE)]
    command += [str(folder / "usual.parquet"), str(THREADS)]
    usual = measure(command, log, PAUSE_S)
    said = json.loads(log.read_text().splitlines()[-1])
    for address, threads in ADDRESSES.items():
        output, name = folder / address, f"geoseg, run.address={address}"
        settings = {"run.address": address, "run.device": "cpu", **threads}
        ours = measure(segment_command(scene, BUNDLE, output, settings), folder / f"{address}.log", PAUSE_S)
        report = read_report(output)
        yield Figure(
            "usual", f"{side} x {side} px the usual way, first byte read to file written", said["seconds"], "s",
            report["seconds"], name, least=TIMES_FASTER,
        )  # fmt: skip
        yield Figure("usual", "  the whole process, with its start and Ray's", usual.seconds, "s", ours.seconds, name)
        yield Figure(
            "usual", f"  peak memory of {name}", ours.peak_bytes / MIB, "MiB", usual.peak_bytes / MIB, "the usual way",
            limit=MOST_MEMORY,
        )  # fmt: skip
        yield Figure(
            "usual", f"  polygons, {name}", report["scenes"][0]["polygons"], "", said["polygons"], "the usual way"
        )
