"""Check the published results of runs, scene by scene.

There are three kinds of checks. *Files*: all files of manifests and reports exist, with the size and sha256 of their
publication. *Independent*: rules that do not use the polygon engine (`geoseg.verify.independent`). *Recomputed*: the
polygons are computed again from class map and confidence, and all values of all rows are compared
(`geoseg.verify.rows`). Only the first kind can find a changed pixel that changes no row, such as a pixel of an area
below the minimum, or one of a million pixels in a mean confidence.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyproj import CRS

from geoseg.errors import SceneError, SettingsError
from geoseg.grid.window import Grid
from geoseg.publish.geoparquet import GEO_KEY, GEOMETRY
from geoseg.publish.polygon_table import LAYER_FIELDS, layers_of, polygon_schema
from geoseg.publish.provenance import Provenance, read_provenance
from geoseg.publish.published_rasters import has_confidence
from geoseg.raster.maps.class_map import class_map_grid, class_map_names
from geoseg.store.manifest import Manifest, manifest_key, polygons_prefix, rasters_prefix
from geoseg.store.scene_store import WORK
from geoseg.store.storages.local import LocalStorage
from geoseg.verify.check import Check, Finding, not_compared
from geoseg.verify.independent import AREA_TOLERANCE, Polygons, check_polygons, to_pixel_of
from geoseg.verify.layers import check_layers, published_layers
from geoseg.verify.published import (
    ReportedScene,
    check_digests,
    published_scenes,
    read_reports,
    valid_manifest,
)
from geoseg.verify.rows import check_rows, find_recipe, why_not_comparable
from geoseg.verify.summary import summarize

UNREADABLE = (OSError, pa.ArrowException, ValueError, KeyError, TypeError)
"""Exceptions of pyarrow, pyproj and json for a file that is damaged or no GeoParquet."""


def validate(output: str | Path) -> list[Check]:
    """Check all scenes of an output, without writing to it.

    Memory holds strips and blocks of the rasters, a part of the polygons, and about 20 bytes for each polygon. The
    recomputed polygons are in the system's temporary folder.

    Args:
        output: The folder that runs wrote.

    Raises:
        SettingsError: If it holds neither polygons nor rasters.
    """
    folder = Path(output).absolute()
    reported, unreadable = read_reports(folder)
    scenes = published_scenes(folder) | reported.keys()
    if not scenes and not unreadable:
        raise SettingsError(
            f"{output} holds no polygons/scene=* and no rasters/*, so there is nothing to validate. "
            "Give the --output folder of a finished run."
        )
    remedy = "Remove the folder of the run if you do not need it; else restore it from a copy."
    checks = [
        Check(Path(key).parent.name, Finding("files", "report", key, "cannot be read", "a report", ok=False), remedy)
        for key in unreadable
    ]
    crs: list[CRS] = []
    for scene in sorted(scenes):
        findings = list(_Scene(folder, scene, reported.get(scene, [])).check(crs))
        checks += [Check(scene, finding, _remedy(folder, scene, finding, findings)) for finding in findings]
    return checks


def _remedy(output: Path, scene: str, finding: Finding, findings: Sequence[Finding]) -> str:
    """How to fix a finding; empty if it passed."""
    failed, again = {other.name for other in findings if not other.ok}, "Give the command of the run again"
    if finding.ok:
        remedy = ""
    elif finding.name == "crs":
        remedy = "Set polygons.crs to one EPSG code for all scenes, or use an output for each."
    elif "scene" in failed:
        remedy = f"{again}; if the scene was removed on purpose, remove the report too."
    elif "manifest" in failed:
        unfinished = (output / WORK / scene).is_dir()
        remedy = (
            f"{again}: it was interrupted." if unfinished else f"{again} with --overwrite: the scene is done again."
        )
    elif "digests" in failed:
        remedy = f"{again} with --verify: the scene is done again."
    else:
        remedy = (
            "The files are unchanged since the run, so this is an error of geoseg: please report it. Then remove "
            f"{manifest_key(scene)} and give the command of the run again with --overwrite."
        )
    return remedy


class _Scene:
    """The checks of one scene."""

    def __init__(self, output: Path, scene: str, reported: list[ReportedScene]) -> None:
        self.output, self.scene, self.reported = output, scene, reported
        self.manifest = valid_manifest(LocalStorage(output), scene)
        self.raster_key = f"{rasters_prefix(scene)}/classes.tif"
        self.key = polygons_prefix(scene)

    def check(self, crs: list[CRS]) -> Iterator[Finding]:
        """Check the scene; ``crs`` holds the CRS of the first scene of the output, or nothing yet."""
        try:
            yield from self._check(crs)
        except SceneError as error:
            yield Finding("files", "files", self.key, str(error), "files that can be read", ok=False)

    def _check(self, crs: list[CRS]) -> Iterator[Finding]:
        if self.scene not in published_scenes(self.output):
            report = self.reported[-1].report
            yield Finding("files", "scene", report, "no files", "the scene, which the report lists", ok=False)
            return
        if self.manifest is None:
            key = manifest_key(self.scene)
            found = "cannot be read" if (self.output / key).exists() else "no file"
            yield Finding("files", "manifest", key, found, "a manifest", ok=False)
        else:
            yield from check_digests(self.output, self.scene, self.manifest)
        raster = self.output / self.raster_key
        if not raster.exists():
            yield Finding("files", "files", self.raster_key, "no file", "a class map", ok=False)
            return
        grid = class_map_grid(raster)
        polygons = (self.output / self.key).is_dir()
        if not polygons:
            found = "rasters only, with a CRS" if grid.crs else "rasters only, without a CRS"
            yield Finding("files", "files", self.raster_key, found, "polygons, if there is a CRS", ok=not grid.crs)
        yield from check_layers(self.output, self.scene, grid, self.manifest)
        if polygons:
            yield from self._polygons(grid, raster, crs)

    def _polygons(self, grid: Grid, raster: Path, crs: list[CRS]) -> Iterator[Finding]:
        folder = self.output / self.key
        parts = sorted(folder.glob("*.parquet"))
        provenance, published = _check_parts(folder, parts)
        crs[:] = crs or [published]
        count = f"{len(parts)} GeoParquet 1.1 with the columns of geoseg"
        yield Finding("files", "files", self.key, count, "", ok=True)
        same = published.equals(crs[0], ignore_axis_order=True)
        yield Finding("files", "crs", self.key, published.name, f"{crs[0].name}, as the first scene", ok=same)
        try:
            same = bool(grid.crs) and published.equals(CRS.from_wkt(grid.crs), ignore_axis_order=True)
            summary = summarize(parts, None if same else to_pixel_of(published, grid))
        except (OSError, pa.ArrowException) as error:
            raise SceneError(f"{folder} cannot be read ({error}).") from error
        polygons = Polygons(self.key, self.raster_key, raster, grid, published, provenance, summary)
        names = class_map_names(raster)
        if self.manifest is not None:
            yield self._settings(polygons, self.manifest, layers_of(pq.read_schema(parts[0]).names))
            yield self._results(polygons, names, self.manifest)
        yield from check_polygons(polygons)
        reason = why_not_comparable(self.manifest) if has_confidence(raster.parent) else "there is no confidence"
        if reason:
            yield not_compared("recomputed", "rows", self.key, reason)
            return
        try:
            recipe = find_recipe(polygons, names, parts, self.manifest, self.reported)
            yield from check_rows(polygons, parts, recipe, self.output)
        except (SceneError, SettingsError, ValueError) as error:
            yield Finding("recomputed", "rows", self.key, f"cannot be recomputed: {error}", "rows", ok=False)

    def _settings(self, polygons: Polygons, manifest: Manifest, layers: Sequence[str]) -> Finding:
        """Compare the settings in the metadata of the parts, and their columns, with those of the manifest."""
        facts, provenance = manifest.fingerprint, polygons.provenance
        found: dict[str, Any] = {
            "simplify_px": provenance.simplify_px,
            "min_area_px": provenance.min_area_px,
            "classes": None if provenance.classes is None else list(provenance.classes),
            "not_dissolved": list(provenance.not_dissolved),
            "cut_px": provenance.cut_px,
        }
        wanted: dict[str, Any] = {key: facts.get(f"polygons.{key}") for key in list(found)[:-1]}
        patch, overlap = facts.get("tiling.patch_px"), facts.get("tiling.overlap_px")
        wanted["cut_px"] = patch - overlap if isinstance(patch, int) and isinstance(overlap, int) else None
        published = [name for name in LAYER_FIELDS if name in published_layers(manifest)]
        if layers or published:
            found["layers"], wanted["layers"] = list(layers), published
        differs = [key for key in found if found[key] != wanted[key]] or list(found)
        one, other = (" ".join(f"{key}={json.dumps(values[key])}" for key in differs) for values in (found, wanted))
        return Finding("files", "settings", self.key, one, other, ok=found == wanted)

    def _results(self, polygons: Polygons, names: Sequence[str], manifest: Manifest) -> Finding:
        """Compare the counts and areas of the manifest with those of the rows."""
        rows, pixels = len(polygons.summary.polygon_id), polygons.grid.window.pixels
        areas = {name: float(area) for name, area in zip(names, polygons.summary.area_m2, strict=False)}
        stated = manifest.results.get("area_m2_by_class")
        stated = stated if isinstance(stated, dict) else {}
        found, wanted = [f"{rows:,} polygons"], [f"{manifest.results.get('polygons')!s} polygons"]
        sound = rows == manifest.results.get("polygons")
        if pixels != manifest.results.get("pixels"):
            sound = False
            found.append(f"{pixels} pixels")
            wanted.append(f"{manifest.results.get('pixels')} pixels")
        for name in sorted(areas.keys() | stated.keys()):
            one, other = areas.get(name, np.nan), stated.get(name, np.nan)
            if not (isinstance(other, int | float) and abs(one - other) <= AREA_TOLERANCE * abs(other)):
                sound = False
                found.append(f"{one} m2 of {name!r}")
                wanted.append(f"{other} m2 of {name!r}")
        expected = "; ".join(wanted)
        return Finding(
            "files", "results", self.key, "; ".join(found), f"{expected}, as {manifest_key(self.scene)}", sound
        )


def _check_parts(folder: Path, parts: list[Path]) -> tuple[Provenance, CRS]:
    """Check that the parts are complete and have the same metadata; return their settings and their CRS.

    Raises:
        SceneError: If not; names the file.
    """
    names = [path.name for path in parts]
    if names != [f"part-{i:05d}.parquet" for i in range(max(1, len(names)))]:
        raise SceneError(
            f"{folder} holds {names or 'no parts'} instead of part-00000.parquet, part-00001.parquet and so on."
        )
    metadata = [_read_metadata(part) for part in parts]
    for part, values in zip(parts, metadata, strict=True):
        if values != metadata[0]:
            raise SceneError(f"{part} has another CRS or other settings than {parts[0].name}.")
    try:
        return metadata[0][0], CRS.from_json_dict(metadata[0][1])
    except UNREADABLE as error:
        raise SceneError(f"{parts[0]} has a CRS that cannot be read ({error}).") from error


def _read_metadata(part: Path) -> tuple[Provenance, dict[str, Any]]:
    """The settings of a part, and its CRS as PROJJSON.

    Raises:
        SceneError: If the file is no part that geoseg wrote.
    """
    try:
        schema = pq.read_schema(part)
        reason = _wrong_metadata(schema)
        if not reason:
            return read_provenance(part), _column(schema)["crs"]
    except UNREADABLE as error:
        reason = f"it cannot be read ({error})"
    raise SceneError(f"{part} was not written by geoseg: {reason}.")


def _wrong_metadata(schema: pa.Schema) -> str:
    """How a file differs from GeoParquet 1.1 with the declared columns; empty if it does not."""
    if not schema.equals(polygon_schema(layers_of(schema.names))):
        return f"it has the columns {', '.join(f'{field.name} {field.type}' for field in schema)}"
    geo, column = json.loads(schema.metadata[GEO_KEY]), _column(schema)
    found = (geo["version"], geo["primary_column"], column["encoding"], column["orientation"])
    expected = ("1.1.0", GEOMETRY, "WKB", "counterclockwise")
    return "" if found == expected else f"version, primary column, encoding and orientation are {found}, not {expected}"


def _column(schema: pa.Schema) -> dict[str, Any]:
    """The GeoParquet metadata of the geometry column."""
    column: dict[str, Any] = json.loads(schema.metadata[GEO_KEY])["columns"][GEOMETRY]
    return column
