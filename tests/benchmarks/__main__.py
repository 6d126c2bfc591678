"""Run the benchmarks, all or those named, print one table and write ``bench-output/benchmarks.json``.

Exits with 1 if a ratio is not on its side of the limit.
"""

import json
import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import psutil
from rich.console import Console

from geoseg.plan.software import software
from tests.benchmarks import driver, lines, memory, mosaic, network, null, polygonize_memory, polygons, stages, usual
from tests.benchmarks.figure import Figure
from tests.benchmarks.scenes import SHRINK
from tests.benchmarks.table import RESULT, all_figures

LOG_WIDTH = 150
MORE_SOFTWARE = {"ray": "ray", "monai": "monai", "xarray-spatial": "xrspatial"}
"""Packages that affect speed, not results, and their modules."""
BENCHMARKS: dict[str, Callable[[Path], Iterator[Figure]]] = {
    "network": network.run,
    "stages": stages.run,
    "usual": usual.run,
    "null": null.run,
    "memory": memory.run,
    "polygons": polygons.run,
    "lines": lines.run,
    "polygonize_memory": polygonize_memory.run,
    "driver": driver.run,
    "mosaic": mosaic.run,
}


def main(names: Sequence[str]) -> int:
    """Run the benchmarks of these names, all if there are none."""
    if unknown := set(names) - set(BENCHMARKS):
        sys.exit(f"Unknown benchmarks: {', '.join(sorted(unknown))}. Known: {', '.join(BENCHMARKS)}.")
    console = Console(width=None if sys.stdout.isatty() else LOG_WIDTH)
    target = RESULT if SHRINK == 1 else RESULT.with_stem("shrunk")
    target.parent.mkdir(exist_ok=True)
    figures: list[Figure] = []
    # Scenes take gigabytes, and /tmp may be in memory.
    with TemporaryDirectory(prefix="run-", dir=target.parent) as shared:
        for name in names or BENCHMARKS:
            started = perf_counter()
            with TemporaryDirectory(prefix=f"{name}-", dir=shared) as folder:
                figures += BENCHMARKS[name](Path(folder))
            console.print(f"{name}: {perf_counter() - started:.0f} s")
            target.write_text(json.dumps(_result(figures), indent=2) + "\n")
    console.print(all_figures(figures))
    console.print(f"written to {target}")
    return int(any(figure.missed for figure in figures))


def _result(figures: Sequence[Figure]) -> dict[str, Any]:
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "cpu": _cpu(),
            "cpus": len(os.sched_getaffinity(0)),
            "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
            "platform": platform.platform(),
        },
        "software": {
            **software(),
            **{name: version(name) for name, module in MORE_SOFTWARE.items() if find_spec(module)},
        },
        "shrink": SHRINK,
        "figures": [{**asdict(figure), "ratio": figure.ratio} for figure in figures],
    }


def _cpu() -> str:
    """Name of the processor, and whether it multiplies matrices of bfloat16."""
    facts = dict(line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line)
    name = " ".join(next((value for key, value in facts.items() if key.strip() == "model name"), "unknown CPU").split())
    return f"{name} with AMX" if "amx_bf16" in str(facts) else name


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
