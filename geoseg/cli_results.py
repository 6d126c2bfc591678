"""The commands that read published results: parse arguments, call one function, print its result."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from geoseg.run.summary import count

out = Console(highlight=False, soft_wrap=True)


class Format(StrEnum):
    """Formats of `geoseg export`."""

    GPKG = "gpkg"
    FGB = "fgb"
    PMTILES = "pmtiles"
    GEOJSON = "geojson"
    SHP = "shp"
    POSTGIS = "postgis"
    QGIS = "qgis"


def export_command(
    results: Annotated[str, typer.Argument(help="Output of runs: a folder or s3://BUCKET/PREFIX.")],
    to: Annotated[Format, typer.Option(help="Format. postgis is an SQL file for psql; qgis is a project.")],
    output: Annotated[Path, typer.Option(help="File to write: .gpkg .fgb .pmtiles .geojson .shp .sql .qgz")],
    scene: Annotated[list[str] | None, typer.Option(help="Scene to export; may be repeated. Default all.")] = None,
    classes: Annotated[str | None, typer.Option(help="Classes to export, such as water,forest. Default all.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
) -> None:
    """Write the polygons of results for other GIS programs, with styles; or a project of QGIS."""
    from geoseg.gis_export.export import Export, export  # noqa: PLC0415  GDAL takes time to load; --help must be fast

    names = tuple(name.strip() for name in classes.split(",")) if classes else ()
    written = export(results, to, output, Export(tuple(scene or ()), names, overwrite))
    first, *others = written.files
    out.print(f"{count(written.polygons, 'polygon')} in {escape(str(first))}")
    if others:
        out.print(f"beside it: {escape(', '.join(path.name for path in others))}")
