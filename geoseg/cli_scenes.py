"""The commands `geoseg scenes ...`."""

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from geoseg.cli_models import out
from geoseg.config import SceneSettings
from geoseg.errors import ExitCode

scenes = typer.Typer(no_args_is_help=True, help="Find the scenes of a run.")


@scenes.callback()
def _of_scenes() -> None:
    """Find the scenes of a run."""


@scenes.command("list")
def list_command(
    spec: Annotated[
        str,
        typer.Argument(help="File, directory, pattern, prefix, Item, table, or .yaml with a search."),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    remote: Annotated[bool, typer.Option("--remote", help="Accept https:// and s3://.")] = False,
    allow_private_hosts: Annotated[
        bool, typer.Option("--allow-private-hosts", help="With --remote: also http:// and private hosts.")
    ] = False,
) -> None:
    """Print what a run would take: name, time, clouds, footprint, bands."""
    from geoseg.catalog.overview import list_scenes  # noqa: PLC0415  importing rasterio takes a while

    found = list_scenes(spec, SceneSettings(remote=remote, allow_private_hosts=allow_private_hosts))
    if as_json:
        out.print_json(json.dumps([asdict(one) for one in found]))
    else:
        table = Table("name", "time", "cloud %", "west, south, east, north", "bands", box=None)
        for one in found:
            box = "" if one.bbox is None else ", ".join(f"{side:.4f}" for side in one.bbox)
            cloud = "" if one.cloud_percent is None else f"{one.cloud_percent:.0f}"
            what = f"[red]{escape(one.error)}[/red]" if one.error else escape(" ".join(one.bands))
            table.add_row(escape(one.name), one.time or "", cloud, box, what)
        Console(width=10_000, highlight=False).print(table)
        out.print(f"{len(found):,} found")
    raise typer.Exit(ExitCode.SCENES_FAILED if any(one.error for one in found) else ExitCode.OK)
