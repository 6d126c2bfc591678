"""Faults in the output of a run, for tests of `geoseg validate`."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import rasterio
import shapely
from rasterio.windows import Window

from geoseg.publish.geoparquet import ROW_GROUP_ROWS

SMALL_PX = 1000
"""Polygons of fewer pixels: one pixel of theirs shows in their mean confidence."""

Change = Callable[[pa.Table], pa.Table]
Plant = Callable[[Path, str], None]
"""Changes the output of a scene."""


@dataclass(frozen=True)
class Fault:
    """Something that is wrong with a scene."""

    plant: Plant
    found_by: frozenset[str]
    """Checks of which at least one fails even if the manifest is made to agree; empty if nothing else can see it."""
    found_beside_files: bool = True
    """Whether the manifest can be made to agree."""


def seal(output: Path, scene: str) -> None:
    """Update the manifest to match the files, as if the run had written them."""
    path = output / "scenes" / f"{scene}.json"
    manifest = json.loads(path.read_bytes())
    for key in manifest["files"]:
        content = (output / key).read_bytes()
        manifest["files"][key] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    path.write_text(json.dumps(manifest))


def parts_of(output: Path, scene: str) -> list[Path]:
    return sorted((output / f"polygons/scene={scene}").glob("*.parquet"))


def read_part(part: Path) -> pa.Table:
    return pq.read_table(part, partitioning=None)


def replaced(table: pa.Table, name: str, values: Any) -> pa.Table:
    field = table.schema.field(name)
    return table.set_column(table.schema.get_field_index(name), field, pa.array(values, field.type))


def in_rows(change: Change) -> Plant:
    """A fault in the rows of the first part."""
    return lambda output, scene: edit(parts_of(output, scene)[:1], change)


def in_all_rows(change: Change) -> Plant:
    """A fault in all rows."""
    return lambda output, scene: edit(parts_of(output, scene), change)


def edit(parts: list[Path], change: Change) -> None:
    for part in parts:
        table = read_part(part)
        changed = change(table).replace_schema_metadata(table.schema.metadata)
        pq.write_table(changed, part, row_group_size=ROW_GROUP_ROWS, compression="zstd")


def column(name: str, change: Callable[[np.ndarray], Any]) -> Change:
    """Values of a column, changed."""
    return lambda table: replaced(table, name, change(table[name].to_pandas().to_numpy().copy()))


def first(value: Any) -> Callable[[np.ndarray], np.ndarray]:
    """The first value is another."""

    def change(values: np.ndarray) -> np.ndarray:
        values[0] = value(values[0]) if callable(value) else value
        return values

    return change


def box(change: Callable[[np.ndarray], np.ndarray]) -> Change:
    """One corner of a box, changed."""

    def apply(table: pa.Table) -> pa.Table:
        boxes = table["bbox"].combine_chunks()
        fields = [field.to_numpy().copy() for field in boxes.flatten()]
        fields[2] = change(fields[2])
        return replaced(table, "bbox", pa.StructArray.from_arrays(fields, fields=list(boxes.type)))

    return apply


def swapped(*names: str, twins: bool = False) -> Change:
    """Values of two rows, exchanged; with ``twins`` of polygons that have equal pixels, else of ones that differ."""

    def change(table: pa.Table) -> pa.Table:
        pixels = table["pixels"].to_numpy()
        wkb = table["geometry"].to_pylist()
        pair = next(
            (i, j)
            for i in range(len(pixels))
            for j in range(i + 1, min(len(pixels), i + 5000))
            if (pixels[i] == pixels[j]) == twins and wkb[i] != wkb[j]
        )
        order = np.arange(len(table))
        order[list(pair)] = pair[::-1]
        moved = table.take(order)
        for name in names or table.schema.names:
            table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), moved[name])
        return table

    return change


def classes_swapped(table: pa.Table) -> pa.Table:
    """Two classes by each other's name and id."""
    ids, names = table["class_id"].to_numpy().copy(), np.array(table["class_name"].to_pylist(), object)
    one, other = np.unique(ids)[:2]
    first_name, other_name = names[ids == one][0], names[ids == other][0]
    ones, others = ids == one, ids == other
    ids[ones], ids[others], names[ones], names[others] = other, one, other_name, first_name
    return replaced(replaced(table, "class_id", ids), "class_name", names)


def all_of_class_0(table: pa.Table) -> pa.Table:
    return replaced(table, "class_id", np.zeros(len(table), np.uint8))


def vertex_moved(*, by: float, everywhere: bool) -> Change:
    """A vertex of the first polygon, by at least the smallest distance that numbers can hold, or wherever it occurs."""

    def change(table: pa.Table) -> pa.Table:
        geometry = shapely.from_wkb(table["geometry"].to_numpy())
        old = shapely.get_coordinates(geometry[0])[0]
        new = np.maximum(old + by, np.nextafter(old, np.inf))

        def move(points: np.ndarray) -> np.ndarray:
            points[(points == old).all(axis=1)] = new
            return points

        rows = np.arange(len(geometry) if everywhere else 1)
        geometry[rows] = shapely.transform(geometry[rows], move)
        return replaced(table, "geometry", shapely.to_wkb(geometry))

    return change


def pixel_changed(name: str, value: Callable[[int], int]) -> Plant:
    """One pixel of a raster, the first of a small polygon."""

    def plant(output: Path, scene: str) -> None:
        table = read_part(parts_of(output, scene)[0])
        small = int(np.flatnonzero(table["pixels"].to_numpy() < SMALL_PX)[0])
        path = output / f"rasters/{scene}/{name}.tif"
        # GDAL writes a changed tile at the end of the file and says that it is no COG any more.
        with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
            row, col = divmod(table["polygon_id"][small].as_py(), dataset.width)
            place = Window(col, row, 1, 1)
            dataset.write(np.array([[value(int(dataset.read(1, window=place)[0, 0]))]], np.uint8), 1, window=place)

    return plant


def removed(*names: str) -> Plant:
    """Files and folders of a scene."""

    def plant(output: Path, scene: str) -> None:
        for name in names:
            path = output / name.format(scene)
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return plant


def other_digest(output: Path, scene: str) -> None:
    path = output / "scenes" / f"{scene}.json"
    manifest = json.loads(path.read_bytes())
    facts = manifest["files"][f"rasters/{scene}/classes.tif"]
    facts["sha256"] = facts["sha256"][::-1]
    path.write_text(json.dumps(manifest))


def fault(plant: Plant, *found_by: str) -> Fault:
    return Fault(plant, frozenset(found_by))


def lost(plant: Plant, *found_by: str) -> Fault:
    return Fault(plant, frozenset(found_by), found_beside_files=False)


RASTERS, POLYGONS, MANIFEST = "rasters/{}", "polygons/scene={}", "scenes/{}.json"
FAULTS = {
    "area_m2 doubled": fault(in_all_rows(column("area_m2", lambda v: v * 2)), "area_m2"),
    "area_m2 exchanged between two polygons": fault(in_rows(swapped("area_m2")), "area_m2"),
    "perimeters of zero": fault(in_all_rows(column("perimeter_m", lambda v: v * 0)), "perimeter_m"),
    "a confidence of 7.0": fault(in_rows(column("confidence", first(7.0))), "confidence"),
    "a confidence of NaN": fault(in_rows(column("confidence", first(np.nan))), "confidence"),
    "a confidence altered": fault(in_rows(column("confidence", first(lambda v: v - 0.01))), "confidence"),
    "a wrong class_name": fault(in_rows(column("class_name", first("other"))), "class_name"),
    "a wrong model": fault(in_all_rows(column("model", lambda v: ["other"] * len(v))), "model"),
    "boxes of zero": fault(in_all_rows(box(lambda v: v * 0)), "boxes"),
    "a wrong box": fault(in_rows(box(first(lambda v: v + 1))), "boxes"),
    "rows out of order": fault(in_rows(swapped()), "rows"),
    "pixels exchanged between two polygons": fault(in_rows(swapped("pixels")), "pixels"),
    "geometries exchanged between equal sizes": fault(in_rows(swapped("geometry", "bbox", twins=True)), "geometry"),
    "ids exchanged between equal sizes": fault(in_rows(swapped("polygon_id", twins=True)), "rows"),
    "a row removed": fault(in_rows(lambda table: table.slice(1)), "rows"),
    "a vertex of one polygon moved by the last bit": fault(
        in_rows(vertex_moved(by=0, everywhere=False)), "coverage", "boxes", "geometry"
    ),
    "a vertex of all polygons moved by 1e-6": fault(in_rows(vertex_moved(by=1e-6, everywhere=True)), "geometry"),
    "two classes exchanged": fault(in_all_rows(classes_swapped), "class_id"),
    "all classes 0": fault(in_all_rows(all_of_class_0), "class_id"),
    "confidence.tif removed": lost(removed(f"{RASTERS}/confidence.tif"), "files"),
    "confidence.tif altered in a pixel": fault(pixel_changed("confidence", lambda v: v ^ 64 or 1), "confidence"),
    "a pixel of classes.tif altered": fault(pixel_changed("classes", lambda v: 1 - min(v, 1))),
    "a pixel of classes.tif made nodata": fault(pixel_changed("classes", lambda _: 255), "pixels"),
    "the manifest removed": lost(removed(MANIFEST), "manifest"),
    "another sha256 in the manifest": lost(other_digest, "digests"),
    "all files of the scene removed": lost(removed(RASTERS, POLYGONS), "digests"),
    "the scene removed with its manifest": lost(removed(RASTERS, POLYGONS, MANIFEST), "scene"),
}
"""All faults by their description."""
