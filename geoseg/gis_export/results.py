"""The polygons of published results, read batch by batch."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyproj import CRS

from geoseg.errors import SettingsError
from geoseg.grid.legend import Legend, LegendClass
from geoseg.publish.geoparquet import GEOMETRY, file_crs
from geoseg.raster.maps.class_map import class_map_grid, class_map_legend
from geoseg.store.manifest import Manifest, polygons_prefix, published_scenes, rasters_prefix
from geoseg.store.storages.base import Storage
from geoseg.store.storages.opening import open_storage

BATCH_ROWS = 1 << 13
DEGREE_M = 111_320.0
"""Metres of a degree of latitude."""
SCENE, BBOX = "scene", "bbox"
MOST_NAMES = 10
"""Most names that a message lists."""


@dataclass(frozen=True, slots=True)
class Results:
    """Published scenes of an output that have polygons, all with one legend of names."""

    storage: Storage
    scenes: tuple[str, ...]
    """Ids, sorted."""
    parts: tuple[tuple[str, str], ...]
    """Scene and key of each GeoParquet file, in the order of publication."""
    legend: Legend
    """Names and colours of all classes of all scenes; ids are those of the scenes only if these share one legend."""
    crs: tuple[CRS, ...]
    """The CRS of each part."""
    schema: pa.Schema
    """Columns of all scenes, with ``scene``, and without ``bbox``, for which other formats have an index."""
    rows: int
    pixel_m: float
    """Side of the smallest pixel."""
    geometry_bytes: int
    """Bytes of all geometries as WKB, about."""

    @property
    def common_crs(self) -> CRS:
        """The CRS of all polygons.

        Raises:
            SettingsError: If scenes differ.
        """
        for (scene, _), crs in zip(self.parts, self.crs, strict=True):
            if not crs.equals(self.crs[0], ignore_axis_order=True):
                raise SettingsError(
                    f"Scene {self.parts[0][0]} is in {self.crs[0].name} and {scene} in {crs.name}; a file has one CRS. "
                    "Export them one by one with --scene, or to geojson or pmtiles, which are always in WGS 84."
                )
        return self.crs[0]


def find_results(url: str, scenes: Sequence[str], folder: Path) -> Results:
    """Find the published polygons of an output.

    Args:
        url: A folder or ``s3://bucket/prefix``.
        scenes: Ids of scenes; none for all.
        folder: For temporary files, if the output is in a bucket.

    Raises:
        SettingsError: If a scene is not published, or none has polygons.
        SceneError: If a class map cannot be read.
    """
    storage = open_storage(url)
    published = published_scenes(storage, frozenset())
    unknown = [scene for scene in scenes if scene not in published]
    if unknown or not published:
        known = ", ".join(sorted(published)[:MOST_NAMES]) or "no scene"
        raise SettingsError(
            f"{storage.url} holds {known}{', ...' if len(published) > MOST_NAMES else ''}"
            f"{f', not {unknown[0]}' if unknown else ''}. Name published scenes of a finished run."
        )
    chosen = {scene: published[scene] for scene in sorted(scenes or published)}
    parts = tuple((scene, key) for scene, manifest in chosen.items() for key in _parts(scene, manifest))
    if not parts:
        raise SettingsError(
            f"The scenes of {storage.url} have rasters only: without a CRS there are no polygons. Run them again with "
            "scene.assume_crs=EPSG:nnnn."
        )
    schemas, crs, rows, geometry_bytes = [], [], 0, 0
    for _, key in parts:
        file = storage.fetch(key, folder)
        metadata = pq.read_metadata(file)
        schemas.append(pq.read_schema(file).remove_metadata())
        crs.append(file_crs(file))
        rows += metadata.num_rows
        geometry_bytes += _geometry_bytes(metadata)
        _drop(file, folder)
    names = tuple(dict.fromkeys(scene for scene, _ in parts))
    legend, pixel_m = _class_maps(storage, names, folder)
    return Results(storage, names, parts, legend, tuple(crs), _columns(schemas), rows, pixel_m, geometry_bytes)


def find_scenes(output: Path) -> dict[str, Path]:
    """The files from which scenes were made, as far as the reports of runs name them and they still exist."""
    found: dict[str, Path] = {}
    for path in sorted(output.glob("runs/*/report.json")):
        try:
            scenes = json.loads(path.read_bytes())["scenes"]
            found |= {str(scene["scene_id"]): Path(scene["path"]) for scene in scenes}
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return {scene: path for scene, path in found.items() if path.is_file()}


def read_batches(results: Results, classes: Sequence[str], folder: Path) -> Iterator[tuple[CRS, pa.RecordBatch]]:
    """Yield all polygons with their CRS: a few thousand rows at a time, and one file of a bucket at a time.

    Args:
        results: See `find_results`.
        classes: Names of the classes to read; none for all.
        folder: As of `find_results`.

    Yields:
        Batches of the columns of ``results.schema``; a column that a scene does not have is null.

    Raises:
        SettingsError: If a class is unknown.
    """
    unknown = [name for name in classes if name not in results.legend.names]
    if unknown:
        raise SettingsError(f"There is no class {unknown[0]!r}. The classes are {', '.join(results.legend.names)}.")
    for (scene, key), crs in zip(results.parts, results.crs, strict=True):
        file = results.storage.fetch(key, folder)
        with pq.ParquetFile(file) as parquet:
            columns = [name for name in results.schema.names if name in parquet.schema_arrow.names]
            for batch in parquet.iter_batches(BATCH_ROWS, columns=columns):
                chosen = batch
                if classes:
                    chosen = batch.filter(pc.is_in(batch["class_name"], pa.array(classes, pa.string())))
                if len(chosen):
                    yield crs, _with_all_columns(chosen, scene, results.schema)
        _drop(file, folder)


def _with_all_columns(batch: pa.RecordBatch, scene: str, schema: pa.Schema) -> pa.RecordBatch:
    present = batch.schema.names
    columns = [
        pa.repeat(pa.scalar(scene, pa.string()), len(batch))
        if field.name == SCENE
        else batch[field.name].cast(field.type)
        if field.name in present
        else pa.nulls(len(batch), field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _columns(schemas: Sequence[pa.Schema]) -> pa.Schema:
    """The columns of all files: ``scene``, those of the polygons, and the geometry as the last one."""
    united = pa.unify_schemas(schemas)
    others = [field for field in united if field.name not in {BBOX, GEOMETRY}]
    # Nullable, because a scene may lack a column; small integers, because few formats have 8 bits without a sign.
    fields = [pa.field(f.name, pa.int16() if f.type == pa.uint8() else f.type) for f in others]
    return pa.schema([pa.field(SCENE, pa.string()), *fields, pa.field(GEOMETRY, pa.binary())])


def _class_maps(storage: Storage, scenes: Sequence[str], folder: Path) -> tuple[Legend, float]:
    """All classes of the scenes, where a name has the colour of the first scene that has it; side of a pixel in m."""
    colors: dict[str, tuple[int, int, int]] = {}
    sides = []
    for scene in scenes:
        file = storage.fetch(f"{rasters_prefix(scene)}/classes.tif", folder)
        grid = class_map_grid(file)
        sides.append(math.hypot(grid.transform[1], grid.transform[4]) * _metres(CRS.from_wkt(grid.crs)))
        for entry in class_map_legend(file).classes:
            colors.setdefault(entry.name, entry.color)
        _drop(file, folder)
    legend = Legend(tuple(LegendClass(number, name, color) for number, (name, color) in enumerate(colors.items())))
    return legend, min(sides)


def _metres(crs: CRS) -> float:
    """Metres of a unit of a CRS, about."""
    return DEGREE_M if crs.is_geographic else float(crs.axis_info[0].unit_conversion_factor)


def _parts(scene: str, manifest: Manifest) -> list[str]:
    return sorted(key for key in manifest.files if key.startswith(f"{polygons_prefix(scene)}/"))


def _geometry_bytes(metadata: pq.FileMetaData) -> int:
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    columns = (group.column(number) for group in groups for number in range(group.num_columns))
    return sum(column.total_uncompressed_size for column in columns if column.path_in_schema == GEOMETRY)


def _drop(file: Path, folder: Path) -> None:
    """Remove a downloaded file; one of a local output stays."""
    if file.is_relative_to(folder):
        file.unlink()
