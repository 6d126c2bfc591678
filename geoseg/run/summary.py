"""The outcome of a run, printed."""

from rich.console import Console
from rich.markup import escape

from geoseg.run.report import Report
from geoseg.vector.polygons import SPECK_PX

MAX_HECTARES_M2, MAX_METRES_M2 = 1e7, 1e4
"""Larger areas are shown in km2; smaller ones in m2."""
MANY_SPECKS = 1 / 3
"""Share of polygons that are specks above which the setting that removes them is named."""


def print_report(report: Report, output: str, out: Console, err: Console) -> None:
    """Print the outcome of each scene to ``out``, or to ``err`` if it failed, and where the results are."""
    for word, scenes in (("done", report.done), ("up to date", report.up_to_date)):
        for scene in scenes:
            facts = "rasters"
            if scene["polygons_path"]:
                facts = f"{count(scene['polygons'], 'polygon')}, {_area(scene['area_m2'])}"
            if scene.get("resumed_blocks"):
                facts += f"; {scene['resumed_blocks']} of {count(scene['blocks'], 'block')} done by an earlier run"
            out.print(f"[green]{word}[/green] {escape(scene['scene_id'])}: {facts}")
            if scene.get("specks", 0) > MANY_SPECKS * scene["polygons"]:
                share = 100 * scene["specks"] // scene["polygons"]
                out.print(
                    f"  {share} % of these polygons have fewer than {SPECK_PX} pixels; "
                    f"polygons.min_area_px={SPECK_PX} gives such specks to their neighbours."
                )
    for scene in report.failed:
        err.print(f"[red]failed[/red] {escape(scene['error'])}")
    saved = "no report could be written" if report.url is None else f"report: {report.url}"
    out.print(f"{report.summary}; {escape(saved)}")
    if report.retries:
        out.print(f"{count(report.retries, 'unit')} of work lost and done again.")
    if report.done:
        speed = f"{report.seconds:.1f} s, {report.rates}"
        patches = count(report.patches, "patch", "patches")
        out.print(f"{patches} through the model, {speed}; results in {escape(output)}")


def count(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun, such as ``1 scene`` or ``2 scenes``."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def _area(area_m2: float) -> str:
    if area_m2 < MAX_METRES_M2:
        return f"{area_m2:,.0f} m2" if area_m2 >= 1 else f"{area_m2:.2g} m2"
    return f"{area_m2 / 1e6:,.1f} km2" if area_m2 >= MAX_HECTARES_M2 else f"{area_m2 / 1e4:,.2f} ha"
