"""`geoseg export`: polygons of published results as one file of another format, with styles."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyogrio

from geoseg.errors import OutputError, SettingsError
from geoseg.gis_export import layer_styles
from geoseg.gis_export.qgis_project import class_layer, polygon_layer, scene_layer, write_project
from geoseg.gis_export.results import Results, find_results, find_scenes, read_batches
from geoseg.gis_export.shapefile import check_size, shapefile_schema, to_shapefile
from geoseg.gis_export.vector_tiles import find_tippecanoe, largest_zoom, write_tiles
from geoseg.gis_export.wgs84 import WGS84, to_wgs84
from geoseg.polygonizer.scratch import OWNER, scratch_folder
from geoseg.publish.styles.maplibre import map_style
from geoseg.publish.styles.qml import polygon_qml
from geoseg.publish.styles.sld import polygon_sld
from geoseg.publish.vector_file import write_layer
from geoseg.signals import end_on_signals
from geoseg.store.manifest import rasters_prefix


@dataclass(frozen=True, slots=True)
class Export:
    """What to export."""

    scenes: tuple[str, ...] = ()
    """Ids; none for all."""
    classes: tuple[str, ...] = ()
    """Names; none for all."""
    overwrite: bool = False
    """Replace files that exist."""


@dataclass(frozen=True, slots=True)
class Written:
    """What an export has written."""

    polygons: int
    files: tuple[Path, ...]
    """The file itself first."""


def export(results: str, to: str, output: Path, options: Export = Export()) -> Written:
    """Write the polygons of published results to a file, and styles beside it. Memory: some thousand rows.

    Args:
        results: Output of runs: a folder or ``s3://bucket/prefix``.
        to: One of `FORMATS`.
        output: The file, with the suffix of the format. Nothing appears before all is complete.
        options: What to export.

    Raises:
        SettingsError: If the output exists or has another suffix, the results hold no polygons, or the format
            cannot hold them.
        OutputError: If a file cannot be written.
        SceneError: If a class map cannot be read.
    """
    suffix, write = FORMATS[to]
    _check(output, to, suffix, overwrite=options.overwrite)
    with end_on_signals(f"{output} was not written."), _staged(output) as folder:
        found = find_results(results, options.scenes, folder)
        count = write(found, options, folder / output.name)
        names = _names(folder, output.name)
    return Written(count, tuple(output.parent / name for name in reversed(names)))


def _write(results: Results, options: Export, path: Path, driver: str) -> int:
    """Write a format that keeps the CRS of the polygons."""
    crs = results.common_crs
    batches = (batch for _, batch in read_batches(results, options.classes, path.parent))
    return write_layer(path, results.schema, batches, driver=driver, layer=path.stem, crs=crs.to_wkt())


def _write_geopackage(results: Results, options: Export, path: Path) -> int:
    count = _write(results, options, path, "GPKG")
    layer_styles.write_to_geopackage(path, path.stem, *_write_styles(results, path))
    return count


def _write_flatgeobuf(results: Results, options: Export, path: Path) -> int:
    count = _write(results, options, path, "FlatGeobuf")
    _write_styles(results, path)
    return count


def _write_shapefile(results: Results, options: Export, path: Path) -> int:
    check_size(results, filtered=bool(options.classes))
    schema = shapefile_schema(results.schema)
    batches = (to_shapefile(batch, schema) for _, batch in read_batches(results, options.classes, path.parent))
    count = write_layer(
        path,
        schema,
        batches,
        driver="ESRI Shapefile",
        layer=path.stem,
        crs=results.common_crs.to_wkt(),
        options={"2GB_LIMIT": "YES"},
    )
    _write_styles(results, path)
    return count


def _write_geojson(results: Results, options: Export, path: Path) -> int:
    batches = (to_wgs84(crs, batch) for crs, batch in read_batches(results, options.classes, path.parent))
    count = write_layer(
        path,
        results.schema,
        batches,
        driver="GeoJSON",
        layer=path.stem,
        crs=WGS84,
        countable=False,
        options={"RFC7946": "YES"},
    )
    _write_styles(results, path)
    return count


def _write_pmtiles(results: Results, options: Export, path: Path) -> int:
    program = find_tippecanoe()
    source = path.with_suffix(".fgb")
    batches = (to_wgs84(crs, batch) for crs, batch in read_batches(results, options.classes, path.parent))
    count = write_layer(source, results.schema, batches, driver="FlatGeobuf", layer=path.stem, crs=WGS84)
    write_tiles(program, source, path, path.stem, largest_zoom(results.pixel_m))
    source.unlink()
    path.with_suffix(".style.json").write_bytes(map_style(results.legend, path.name, path.stem))
    return count


def _write_postgis(results: Results, options: Export, path: Path) -> int:
    table = re.sub(r"\W", "_", path.stem.lower())
    drop = "IF_EXISTS" if options.overwrite else "NO"
    crs = results.common_crs
    batches = (batch for _, batch in read_batches(results, options.classes, path.parent))
    pyogrio.set_gdal_config_options({"PG_USE_COPY": "YES"})
    try:
        count = write_layer(
            path, results.schema, batches, driver="PGDUMP", layer=table, crs=crs.to_wkt(), countable=False,
            options={"GEOMETRY_NAME": "geometry", "FID": "fid", "DROP_TABLE": drop, "CREATE_SCHEMA": "NO"},
        )  # fmt: skip
    finally:
        pyogrio.set_gdal_config_options({"PG_USE_COPY": None})
    layer_styles.append_to_dump(path, table, *_write_styles(results, path))
    return count


def _write_styles(results: Results, path: Path) -> tuple[bytes, bytes]:
    """Write the styles beside a file: QML and SLD."""
    qml, sld = _encoded_styles(results, path)
    path.with_suffix(".qml").write_bytes(qml)
    path.with_suffix(".sld").write_bytes(sld)
    return qml, sld


def _write_qgis(results: Results, options: Export, path: Path) -> int:
    folder = Path(results.storage.url)
    if not folder.is_dir():
        raise SettingsError(
            f"A project of QGIS opens files, and {results.storage.url} is a bucket. Copy the results to a folder "
            "first, or export to gpkg."
        )
    home = path.parent.parent.absolute()
    package = path.with_suffix(".gpkg")
    count = _write(results, options, package, "GPKG")
    layer_styles.write_to_geopackage(package, path.stem, *_encoded_styles(results, path))
    layers = [polygon_layer(package.name, path.stem, results.legend, results.common_crs)]
    scenes = find_scenes(folder)
    for scene in results.scenes:
        below = scene_layer(scene, scenes[scene], home) if scene in scenes else None
        # The polygons are transparent: they show the scene, unless the class map is between.
        layers.append(class_layer(scene, folder / rasters_prefix(scene) / "classes.tif", home, shown=below is None))
        layers += [] if below is None else [below]
    write_project(path, path.stem, layers, results.common_crs)
    return count


def _encoded_styles(results: Results, path: Path) -> tuple[bytes, bytes]:
    return polygon_qml(results.legend), polygon_sld(results.legend, path.stem)


def _check(output: Path, to: str, suffix: str, *, overwrite: bool) -> None:
    if output.suffix.lower() != suffix:
        raise SettingsError(f"--output {output} must end in {suffix} for --to {to}, such as {output.stem}{suffix}.")
    if output.is_dir():
        raise SettingsError(f"{output} is a folder. Name a file in it, such as {output}/polygons{suffix}.")
    if output.exists() and not overwrite:
        raise SettingsError(f"{output} exists already. Add --overwrite to replace it, or name another output.")


@contextmanager
def _staged(output: Path) -> Iterator[Path]:
    """A folder beside the output; what is in it at the end is moved there.

    Raises:
        OutputError: If a file cannot be written.
    """
    with scratch_folder(output, lambda _: None) as folder:
        try:
            yield folder
            for name in _names(folder, output.name):
                (folder / name).replace(output.parent / name)
        except OSError as error:
            raise OutputError(
                f"{output} cannot be written: {error.strerror or error}. Check the disk and the room on it, then run "
                "the same command again; nothing was left behind."
            ) from error


def _names(folder: Path, first: str) -> list[str]:
    """Names of the files in a folder that belong to the export, the file itself last: it appears when all is there."""
    names = sorted(path.name for path in folder.iterdir() if path.name not in {OWNER, first})
    return [*names, first]


FORMATS: dict[str, tuple[str, Callable[[Results, Export, Path], int]]] = {
    "gpkg": (".gpkg", _write_geopackage),
    "fgb": (".fgb", _write_flatgeobuf),
    "pmtiles": (".pmtiles", _write_pmtiles),
    "geojson": (".geojson", _write_geojson),
    "shp": (".shp", _write_shapefile),
    "postgis": (".sql", _write_postgis),
    "qgis": (".qgz", _write_qgis),
}
"""Suffix and writer of each format."""
