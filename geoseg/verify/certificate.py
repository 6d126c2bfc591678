"""Print the results of all checks, in 80 columns."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.table import Table
from rich.text import Text

from geoseg.verify.check import Check, Finding


def certificate(checks: Sequence[Check]) -> Iterator[Table]:
    """One table for each scene: method, name, verdict and actual value of each check."""
    for scene, found in groupby(checks, lambda check: check.scene):
        table = Table(title=Text(f"scene {scene}", "bold"), title_justify="left", box=None, show_header=False)
        for column in ("kind", "check", "verdict"):
            table.add_column(column, no_wrap=True)
        table.add_column("found", overflow="fold")
        kind = ""
        for finding in (check.finding for check in found):
            shown = finding.kind if finding.kind != kind else ""
            table.add_row(Text(shown, "dim"), Text(finding.name), _verdict(finding), Text(finding.found))
            kind = finding.kind
        yield table


def failures(checks: Sequence[Check]) -> Iterator[str]:
    """Lines about failed checks: file, actual and expected value; then the remedy, once for checks that share it."""
    failed = [check for check in checks if not check.finding.ok]
    for (scene, remedy), group in groupby(failed, lambda check: (check.scene, check.remedy)):
        for finding in (check.finding for check in group):
            yield f"{scene}: {finding.name} ({finding.kind}) of {finding.file}"
            yield f"  found     {finding.found}"
            yield f"  expected  {finding.expected}"
        yield f"  remedy    {remedy}"


def verdict(checks: Sequence[Check]) -> str:
    """The number of passed checks."""
    compared = [check.finding for check in checks if check.finding.compared]
    passed = sum(finding.ok for finding in compared)
    rest = len(checks) - len(compared)
    return f"{passed} of {len(compared)} checks passed{f', {rest} not compared' if rest else ''}."


def _verdict(finding: Finding) -> Text:
    if not finding.ok:
        return Text("FAILED", "red")
    return Text("ok", "green") if finding.compared else Text("-", "yellow")
