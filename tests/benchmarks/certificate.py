"""Faults that `geoseg validate` finds in 16384 x 16384 pixels, its cost: ``python -m tests.benchmarks.certificate``.

Prints a Markdown table: each planted fault, with the manifest made to agree wherever it can, the checks that find it,
and seconds; before them the run itself and the certificate of its sound output, in a process of its own, with its peak
memory. All faults are planted, or those named, one certificate each. Not among the other benchmarks: it takes an hour,
and tests/verify plants the same faults in a small scene. ``BENCH_SHRINK=4`` makes the scene smaller, and
``BENCH_FOLDER`` says where it lies.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from geoseg.verify.validate import validate
from tests.benchmarks.class_maps import SIDE_PX, mirrored, speckled_landscape
from tests.benchmarks.commands import read_report, segment_command, warm_up
from tests.benchmarks.scenes import SHRINK
from tests.support.bundles import identity_bundle
from tests.support.planting import FAULTS, seal
from tests.support.scenes import write_scene

TIMES = max(1, 4 // SHRINK)
"""Repetitions of the landscape of 4096 pixels on each axis."""
SCENE = "landscape"
SETTINGS = {"run.address": "inline", "run.workers": 2, "run.device": "cpu", "scene.nodata_rule": "all"}
HOW = {"plain": {}, "minimum area": {"polygons.min_area_px": 9}}


def main(names: Sequence[str]) -> int:
    """Make outputs, validate them, plant faults; return 1 if a fault is not found."""
    if unknown := set(names) - set(FAULTS):
        sys.exit(f"Unknown faults: {', '.join(sorted(unknown))}. Known: {', '.join(FAULTS)}.")
    missed = 0
    with TemporaryDirectory(dir=os.environ.get("BENCH_FOLDER")) as name:
        folder = Path(name, "certificate")
        folder.mkdir()
        warm_up(folder)
        classes = mirrored(speckled_landscape(), TIMES)
        scene = write_scene(folder / f"{SCENE}.tif", classes[None], tiled=True, compress="zstd", zstd_level=1)
        bundle = identity_bundle(folder / "bundle", int(classes.max()) + 1, patch_px=512, overlap_px=64)
        print(f"{SIDE_PX * TIMES} x {SIDE_PX * TIMES} px")
        print("| output | fault | found by | seconds | peak memory |")
        print("|---|---|---|---|---|")
        for how, settings in HOW.items():
            output = folder / how
            command = segment_command(scene, bundle, output, {**SETTINGS, **settings})
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            report = read_report(output)
            count = report["scenes"][0]["polygons"]
            print(f"| {how} | none: the run, {count:,} polygons | | {report['seconds']:.0f} | |", flush=True)
            seconds, peak_bytes, code = _certify([command[0], "validate", str(output)])
            verdict = "nothing" if not code else "SOMETHING"
            print(f"| {how} | none: certified | {verdict} | {seconds:.0f} | {peak_bytes / 2**30:.2f} GiB |", flush=True)
            missed += bool(code)
        for fault in names or FAULTS:
            missed += not _plant(folder / "plain", fault, folder / "planted")
    return int(missed > 0)


def _certify(command: list[str]) -> tuple[float, int, int]:
    """Seconds, largest resident bytes and exit code of a process."""
    started = perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return perf_counter() - started, usage.ru_maxrss * 1024, process.returncode


def _plant(sound: Path, name: str, output: Path) -> bool:
    """Plant a fault in a copy of an output; return whether an expected check finds it."""
    shutil.copytree(sound, output)
    fault = FAULTS[name]
    fault.plant(output, SCENE)
    if fault.found_beside_files and fault.found_by:
        seal(output, SCENE)
    started = perf_counter()
    found = sorted(
        {f"{check.finding.name} ({check.finding.kind})" for check in validate(output) if not check.finding.ok}
    )
    seconds = perf_counter() - started
    shutil.rmtree(output)
    expected = fault.found_by or {"digests"}
    hit = any(check.rpartition(" (")[0] in expected for check in found)
    print(f"| plain | {name} | {', '.join(found) or 'NOTHING'} | {seconds:.0f} | |", flush=True)
    return hit


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
