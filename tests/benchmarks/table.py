"""The figures as tables: one of all for the terminal, one of those that are judged for the README.

``python -m tests.benchmarks.table`` puts the latter, of what ``make bench`` measured last, into README.md.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from tests.benchmarks.figure import Figure

ROOT = Path(__file__).parents[2]
RESULT, README = ROOT / "bench-output" / "benchmarks.json", ROOT / "README.md"
BEGIN, END = "<!-- measured by make bench -->\n", "<!-- end of what make bench measured -->\n"
"""What stands around the table in the README."""
PACKAGES = ("python", "torch", "ray", "rasterio", "shapely", "monai", "xarray-spatial")
"""Those of the versions that decide how fast things are."""


def all_figures(figures: Sequence[Figure]) -> Table:
    """Every figure, a row each."""
    table = Table("benchmark", "what", box=None)
    for heading in ("value", "ratio", "limit"):
        table.add_column(heading, justify="right")
    table.add_column("ratio to")
    for figure in figures:
        verdict = ("missed" if figure.missed else "kept") if figure.judged else ""
        table.add_row(
            figure.benchmark,
            figure.what,
            _value(figure.value, figure.unit),
            "" if figure.ratio is None else f"{figure.ratio:.2f}",
            f"{_limit(figure)} {verdict}".strip(),
            figure.compared_with,
        )
    return table


def markdown(result: Mapping[str, Any]) -> str:
    """The figures that have something to keep, and what they were measured on.

    Args:
        result: The content of ``benchmarks.json``.
    """
    figures = [Figure(**{key: entry[key] for key in Figure.__slots__}) for entry in result["figures"]]
    rows = ["| benchmark | | measured | beside | ratio | must be |", "|---|---|---:|---:|---:|---:|"]
    for figure in figures:
        if figure.judged:
            baseline = f"{figure.compared_with}: {_value(figure.baseline, figure.unit)}"
            cells = [figure.benchmark, figure.what.strip(), _value(figure.value, figure.unit), baseline]
            ratio = "" if figure.ratio is None else f"{figure.ratio:.3g}"
            rows.append(f"| {' | '.join(cells)} | {f'**{ratio}**' if figure.missed else ratio} | {_limit(figure)} |")
    machine, software = result["machine"], result["software"]
    versions = ", ".join(f"{name} {software[name]}" for name in PACKAGES if name in software)
    where = f"{machine['cpus']} cores of {machine['cpu']}, {machine['memory_gib']:.0f} GiB; {versions}."
    return "\n".join([*rows, "", where, ""])


def put_into(text: str, table: str) -> str:
    """Replace the table of a text."""
    before, _, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"The text has no table between {BEGIN!r} and {END!r}.")
    return f"{before}{BEGIN}{table}{END}{after}"


def _value(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    digits = 0 if value == round(value) or abs(value) >= 1000 else 2
    return f"{value:,.{digits}f} {unit}".strip()


def _limit(figure: Figure) -> str:
    bounds = [f"<= {figure.limit:.3g}"] if figure.limit is not None else []
    return " ".join([*bounds, *([f">= {figure.least:.3g}"] if figure.least is not None else [])])


if __name__ == "__main__":
    if not RESULT.exists():
        sys.exit(f"{RESULT} is not there. Run `make bench` first.")
    README.write_text(put_into(README.read_text(), markdown(json.loads(RESULT.read_text()))))
