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
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from rich.console import Console
from rich.table import Table

from geoseg.run.nodes import software
from tests.benchmarks import driver, memory, polygonize_memory, polygons, stages
from tests.benchmarks.figure import Figure

OUTPUT = Path(__file__).parents[2] / "bench-output"
LOG_WIDTH = 140
BENCHMARKS: dict[str, Callable[[Path], Iterator[Figure]]] = {
    "stages": stages.run,
    "polygons": polygons.run,
    "polygonize_memory": polygonize_memory.run,
    "memory": memory.run,
    "driver": driver.run,
}


def main(names: Sequence[str]) -> int:
    """Run the benchmarks of these names, all if there are none."""
    if unknown := set(names) - set(BENCHMARKS):
        sys.exit(f"Unknown benchmarks: {', '.join(sorted(unknown))}. Known: {', '.join(BENCHMARKS)}.")
    console = Console(width=None if sys.stdout.isatty() else LOG_WIDTH)
    OUTPUT.mkdir(exist_ok=True)
    figures: list[Figure] = []
    for name in names or BENCHMARKS:
        console.print(f"{name} ...")
        # Scenes of gigabytes: beside the output, for /tmp may be memory.
        with TemporaryDirectory(prefix=f"{name}-", dir=OUTPUT) as folder:
            figures += BENCHMARKS[name](Path(folder))
    console.print(_table(figures))
    result = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "cpus": len(os.sched_getaffinity(0)),
            "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
            "platform": platform.platform(),
        },
        "software": software(),
        "figures": [{**asdict(figure), "ratio": figure.ratio} for figure in figures],
    }
    target = OUTPUT / "benchmarks.json"
    target.write_text(json.dumps(result, indent=2) + "\n")
    console.print(f"written to {target}")
    return int(any(figure.missed for figure in figures))


def _table(figures: Sequence[Figure]) -> Table:
    table = Table("benchmark", "what", box=None)
    for heading in ("value", "ratio", "limit"):
        table.add_column(heading, justify="right")
    table.add_column("ratio to")
    for figure in figures:
        table.add_row(
            figure.benchmark,
            figure.what,
            "" if figure.value is None else f"{figure.value:,.2f} {figure.unit}",
            "" if figure.ratio is None else f"{figure.ratio:.2f}",
            _limit(figure),
            figure.compared_with,
        )
    return table


def _limit(figure: Figure) -> str:
    bounds = [f"< {figure.limit:g}"] if figure.limit is not None else []
    bounds += [f">= {figure.least:g}"] if figure.least is not None else []
    return " ".join([*bounds, "missed" if figure.missed else "kept"]) if bounds else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
