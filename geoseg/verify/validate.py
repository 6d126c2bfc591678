"""Certify what a run published: read it back and compare the polygons with the class map."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from geoseg.errors import SceneError, SettingsError
from geoseg.grid.legend import NODATA_CLASS
from geoseg.grid.window import Grid
from geoseg.publish.facts import Facts, read_facts
from geoseg.publish.geoparquet import GEO_KEY, GEOMETRY, file_crs
from geoseg.publish.pixel_area import pixel_area
from geoseg.publish.polygons import POLYGON_SCHEMA
from geoseg.raster.class_map import class_map_grid
from geoseg.verify.audit import Audit, audit
from geoseg.verify.coverage import Outline
from geoseg.verify.scan import Scan, scan

AREA_TOLERANCE = 1e-9
"""Of a sum of areas, relative to what it should be."""

UNREADABLE = (OSError, pa.ArrowException, ValueError, KeyError, TypeError)
"""What pyarrow, pyproj and json raise for a file that is damaged or no GeoParquet."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    scene: str
    """Name of the scene."""
    name: str
    """What was checked."""
    found: str
    """What is there."""
    expected: str
    """What should be there."""
    ok: bool
    """Whether that is the same, or nothing could be compared; ``found`` says which."""


def validate(output: str | Path) -> list[Check]:
    """Check all scenes of an output: files, ids, rings, coverage, areas, pixels and first pixels.

    Args:
        output: The folder a run wrote.

    Raises:
        SettingsError: If it holds neither polygons nor rasters.
    """
    polygons = {path.name.removeprefix("scene="): path for path in Path(output).glob("polygons/scene=*")}
    rasters = {path.name: path / "classes.tif" for path in Path(output).glob("rasters/*") if path.is_dir()}
    if not polygons and not rasters:
        raise SettingsError(
            f"{output} holds no polygons/scene=* and no rasters/*, so there is nothing to validate. "
            "Give the --output folder of a finished run."
        )
    first: list[CRS] = []
    checks: list[Check] = []
    for scene in sorted(polygons.keys() | rasters.keys()):
        try:
            found = _check_scene(scene, polygons.get(scene), rasters.get(scene), first)
            checks += [Check(scene, *row) for row in found]
        except SceneError as error:
            checks.append(Check(scene, "files", str(error), "files that can be read", ok=False))
    return checks


Row = tuple[str, str, str, bool]
"""A check without its scene."""


def _check_scene(scene: str, folder: Path | None, raster: Path | None, first: list[CRS]) -> Iterator[Row]:
    """Check a scene; ``first`` holds the CRS of the dataset's first scene, once that is known."""
    if raster is None:
        yield "files", f"no rasters/{scene}/classes.tif", "a class map beside the polygons", False
        return
    grid = class_map_grid(raster)
    if folder is None:
        found = "rasters only, with a CRS" if grid.crs else "rasters only, without a CRS"
        yield "files", found, "polygons, if there is a CRS", not grid.crs
        return
    parts = sorted(folder.glob("*.parquet"))
    facts = _check_files(folder, parts)
    crs = file_crs(parts[0])
    first[:] = first or [crs]
    yield "files", f"{len(parts)} GeoParquet 1.1 in {folder}", "GeoParquet 1.1 with the columns of geoseg", True
    yield "crs", crs.name, first[0].name, crs.equals(first[0], ignore_axis_order=True)
    try:
        polygons = scan(parts)
    except (OSError, pa.ArrowException) as error:
        raise SceneError(f"{folder} cannot be read ({error}). Run the scene again with --overwrite.") from error
    doubled = _doubled(polygons.polygon_id)
    yield "ids", f"{len(doubled)} doubled{_first(doubled)}", "0 doubled", not len(doubled)
    yield "rings", f"{len(polygons.bad_rings)} unsound{_first(polygons.bad_rings)}", "0 unsound", not polygons.bad_rings
    outline = (
        Outline.of(polygons.lone_edges, grid.window.shape, _to_pixel(crs, grid)) if facts.classes is None else None
    )
    seen = audit(
        raster, grid.width, polygons, outline, any_class=facts.min_area_px > 1, not_dissolved=facts.not_dissolved
    )
    yield _coverage(seen, outline)
    yield _area(polygons, facts, crs, grid, seen.valid_pixels)
    yield from _pixels(polygons, facts, seen)
    wrong = f"{len(seen.wrong_ids)} elsewhere{_first(seen.wrong_ids)}"
    yield "first pixels", wrong, f"0 elsewhere than in {raster}", not len(seen.wrong_ids)


def _check_files(folder: Path, parts: list[Path]) -> Facts:
    """Make sure that the parts are complete and alike.

    Raises:
        SceneError: If they are not; names the file.
    """
    names = [path.name for path in parts]
    if names != [f"part-{i:05d}.parquet" for i in range(max(1, len(names)))]:
        raise SceneError(
            f"{folder} holds {names or 'no parts'} instead of part-00000.parquet, part-00001.parquet and so on. "
            "Run the scene again with --overwrite."
        )
    for part in parts:
        try:
            schema, facts, crs = pq.read_schema(part), read_facts(part), file_crs(part)
            reason = _wrong_metadata(schema)
            if not reason and (facts, crs) != (read_facts(parts[0]), file_crs(parts[0])):
                reason = f"its CRS or settings differ from those of {parts[0].name}"
        except UNREADABLE as error:
            reason = f"it cannot be read ({error})"
        if reason:
            raise SceneError(f"{part} is no part of geoseg: {reason}. Run the scene again with --overwrite.")
    return facts


def _wrong_metadata(schema: pa.Schema) -> str:
    """Tell in what a file is not GeoParquet 1.1 with the declared columns; empty if it is."""
    if not schema.equals(POLYGON_SCHEMA):
        return f"it has the columns {', '.join(f'{field.name} {field.type}' for field in schema)}"
    geo = json.loads(schema.metadata[GEO_KEY])
    column = geo["columns"][GEOMETRY]
    found = (geo["version"], geo["primary_column"], column["encoding"], column["orientation"])
    expected = ("1.1.0", GEOMETRY, "WKB", "counterclockwise")
    return "" if found == expected else f"version, primary column, encoding and orientation are {found}, not {expected}"


def _coverage(seen: Audit, outline: Outline | None) -> Row:
    """Rate the edges without a partner."""
    expected = "0 edges or sides without partner, but beside nodata"
    if outline is None:
        return "coverage", "not comparable: some classes are not published", expected, True
    faults = []
    if len(outline.elsewhere):
        x0, y0, x1, y1 = outline.elsewhere[0]
        faults.append(f"{len(outline.elsewhere)} edges, one from {x0!s} {y0!s} to {x1!s} {y1!s}")
    if seen.faults:
        row, col = seen.first_fault
        faults.append(f"{seen.faults} sides of pixels, the first at row {row}, column {col}")
    return "coverage", "; ".join(faults) or "0", expected, not faults


def _area(polygons: Scan, facts: Facts, crs: CRS, grid: Grid, valid_pixels: int) -> Row:
    """Compare the sum of areas with the area of the valid pixels."""
    area = valid_pixels * grid.pixel_area
    slack = AREA_TOLERANCE * area
    if facts.classes is not None:
        return "area", "not comparable: some classes are not published", "", True
    if grid.crs and crs.equals(CRS.from_wkt(grid.crs), ignore_axis_order=True):
        x0, y0, x1, y1 = polygons.lone_edges.T
        # Where coordinates are large beside a pixel, as degrees are, their last bit moves the outline by more.
        slack += float(np.hypot(x1 - x0, y1 - y0).sum() * np.spacing(np.abs(polygons.lone_edges).max(initial=0)))
        name, unit, found = "area", "squared units", polygons.area
    elif facts.area_method == "planar":
        area = valid_pixels * pixel_area(grid).unit_m2
        slack = AREA_TOLERANCE * area
        name, unit, found = "area_m2", "m2", polygons.area_m2
    else:
        return "area", "not comparable: projected, and measured on the ellipsoid", "", True
    return name, f"{found:.6f} {unit}", f"{area:.6f} +- {slack:.2g} {unit}", abs(found - area) <= slack


def _pixels(polygons: Scan, facts: Facts, seen: Audit) -> Iterator[Row]:
    """Compare the column ``pixels`` with the class map."""
    total = int(polygons.pixels.sum())
    if facts.classes is None:
        yield "pixels", str(total), f"{seen.valid_pixels} valid", total == seen.valid_pixels
    if facts.min_area_px > 1:
        reason = f"not comparable: components below {facts.min_area_px} pixels took another class"
        yield "pixels by class", reason, "", True
        return
    expected = seen.histogram.copy()
    expected[NODATA_CLASS] = 0
    if facts.classes is not None:
        expected[~np.isin(np.arange(256), facts.classes)] = 0
    differs = np.flatnonzero(expected != polygons.pixels)
    shown = differs if len(differs) else np.flatnonzero(expected)
    found, wanted = (" ".join(f"{i}:{counts[i]}" for i in shown) for counts in (polygons.pixels, expected))
    yield "pixels by class", found, wanted, not len(differs)


def _to_pixel(crs: CRS, grid: Grid) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Map x, y of the published CRS to column, row of the class map."""
    if not grid.crs:
        raise SceneError("The class map has no CRS, but there are polygons. Run the scene again with --overwrite.")
    source = CRS.from_wkt(grid.crs)
    same = crs.equals(source, ignore_axis_order=True)
    transformer = None if same else Transformer.from_crs(crs, source, always_xy=True)
    a, b, c, d, e, f = grid.transform
    inverse = np.linalg.inv([[a, b], [d, e]])

    def to_pixel(points: NDArray[np.float64]) -> NDArray[np.float64]:
        if transformer is not None:
            points = np.column_stack(transformer.transform(*points.T))
        return np.asarray((points - (c, f)) @ inverse.T)

    return to_pixel


def _doubled(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Ids that stand in more than one row."""
    values, counts = np.unique(ids, return_counts=True)
    return np.asarray(values[counts > 1])


def _first(found: NDArray[np.int64] | tuple[str, ...]) -> str:
    """Name one of what was found."""
    return f", such as {found[0]}" if len(found) else ""
