"""Checks of a scene that do not use the polygon engine: paired edges, sums, boxes, first pixels.

They neither trace nor label, so they also find errors of the engine. They cannot find a wrong class after a minimum
area, or a wrong position of a line between two polygons; `geoseg.verify.recompute` does.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

from geoseg.errors import SceneError
from geoseg.grid.legend import NODATA_CLASS
from geoseg.grid.window import Grid
from geoseg.publish.geodesy.crs import transformer
from geoseg.publish.geodesy.pixel_area import pixel_area
from geoseg.publish.provenance import Provenance
from geoseg.verify.audit import Audit, audit
from geoseg.verify.check import Finding, not_compared
from geoseg.verify.coverage import MAX_DISPLACEMENT_PX, Outline, ToPixel
from geoseg.verify.summary import Summary

AREA_TOLERANCE = 1e-9
"""Relative tolerance of a sum of areas."""


@dataclass(frozen=True, slots=True)
class Polygons:
    """The polygons of a scene and their class map."""

    key: str
    """Folder of the parts, relative to the output."""
    raster_key: str
    """Class map, relative to the output."""
    raster: Path
    """Path of the class map."""
    grid: Grid
    """Grid of the class map."""
    crs: CRS
    """CRS of the polygons."""
    provenance: Provenance
    """Settings in the metadata of their files."""
    summary: Summary
    """Ids, sums and unpaired edges of the polygons."""

    @property
    def in_place(self) -> bool:
        """Whether the polygons are in the CRS of the scene."""
        return bool(self.grid.crs) and self.crs.equals(CRS.from_wkt(self.grid.crs), ignore_axis_order=True)


def to_pixel_of(crs: CRS, grid: Grid) -> ToPixel:
    """A function from x, y of the published CRS to column, row of the class map."""
    if not grid.crs:
        raise SceneError("The class map has no CRS, but there are polygons.")
    source = CRS.from_wkt(grid.crs)
    same = crs.equals(source, ignore_axis_order=True)
    projection = None if same else transformer(crs, source)
    a, b, c, d, e, f = grid.transform
    inverse = np.linalg.inv([[a, b], [d, e]])

    def to_pixel(points: NDArray[np.float64]) -> NDArray[np.float64]:
        if projection is not None:
            points = np.column_stack(projection.transform(*points.T))
        return np.asarray((points - (c, f)) @ inverse.T)

    return to_pixel


def check_polygons(polygons: Polygons) -> Iterator[Finding]:
    """Check ids, rings, boxes, coverage, areas, pixels and first pixels.

    Raises:
        SceneError: If the class map cannot be read.
    """
    summary, provenance = polygons.summary, polygons.provenance
    duplicates = _duplicates(summary.polygon_id)
    yield _finding(
        polygons, "ids", f"{len(duplicates)} duplicates{_first(duplicates)}", "0 duplicates", not len(duplicates)
    )
    bad, boxes = summary.invalid_rings, summary.wrong_boxes
    yield _finding(polygons, "rings", f"{len(bad)} invalid{_first(bad)}", "0 invalid", not bad)
    found = f"{len(boxes)} not around the geometry{_first(boxes)}"
    yield _finding(polygons, "boxes", found, "0 not around the geometry", not boxes)
    if not polygons.in_place:
        where = f", the first from {summary.first_displaced[0].tolist()}" if summary.displaced else ""
        limit = f"0 edges that lie farther than {MAX_DISPLACEMENT_PX} pixels from the scene's"
        yield _finding(
            polygons, "place", f"{summary.displaced} edges out of place{where}", limit, not summary.displaced
        )
    unpaired, to_pixel = summary.unpaired_edges, to_pixel_of(polygons.crs, polygons.grid)
    outline = Outline.of(unpaired, polygons.grid.window.shape, to_pixel) if provenance.classes is None else None
    seen = audit(
        polygons.raster,
        pixel_area(polygons.grid),
        summary,
        outline,
        any_class=provenance.min_area_px > 1,
        not_dissolved=provenance.not_dissolved,
    )
    yield _coverage(polygons, seen, outline)
    yield _area(polygons, seen.valid_pixels)
    yield _area_m2(polygons, seen)
    yield from _pixels(polygons, seen)
    wrong_ids = seen.wrong_ids
    wrong, right = f"{len(wrong_ids)} elsewhere{_first(wrong_ids)}", f"0 elsewhere than in {polygons.raster_key}"
    yield _finding(polygons, "first pixels", wrong, right, not len(wrong_ids))


def _finding(polygons: Polygons, name: str, found: str, expected: str, ok: bool) -> Finding:
    return Finding("independent", name, polygons.key, found, expected, ok)


def _coverage(polygons: Polygons, seen: Audit, outline: Outline | None) -> Finding:
    """Report the unpaired edges."""
    if outline is None:
        return not_compared("independent", "coverage", polygons.key, "some classes are not published")
    faults = []
    if len(outline.elsewhere):
        x0, y0, x1, y1 = outline.elsewhere[0]
        faults.append(f"{len(outline.elsewhere)} edges, one from {x0!s} {y0!s} to {x1!s} {y1!s}")
    if seen.faults:
        row, col = seen.first_fault
        faults.append(f"{seen.faults} sides of pixels, the first at row {row}, column {col}")
    expected = "0 edges or sides without partner, except beside nodata"
    return _finding(polygons, "coverage", "; ".join(faults) or "0 without partner", expected, not faults)


def _area(polygons: Polygons, valid_pixels: int) -> Finding:
    """Compare the area of the geometries with that of the valid pixels."""
    if polygons.provenance.classes is not None:
        return not_compared("independent", "area", polygons.key, "some classes are not published")
    if not polygons.in_place:
        return not_compared("independent", "area", polygons.key, "the polygons are in another CRS than the scene")
    area, unpaired = valid_pixels * polygons.grid.pixel_area, polygons.summary.unpaired_edges
    x0, y0, x1, y1 = unpaired.T
    # If coordinates are large compared with a pixel, as in degrees, rounding moves the outline by more.
    slack = AREA_TOLERANCE * area + float(
        np.hypot(x1 - x0, y1 - y0).sum() * np.spacing(np.abs(unpaired).max(initial=0))
    )
    found, expected = f"{polygons.summary.area:.6f} squared units", f"{area:.6f} +- {slack:.2g} squared units"
    return _finding(polygons, "area", found, expected, abs(polygons.summary.area - area) <= slack)


def _area_m2(polygons: Polygons, seen: Audit) -> Finding:
    """Compare the column ``area_m2`` with the areas of the pixels, by class unless a minimum area changed it."""
    found, expected, provenance = polygons.summary.area_m2, seen.area_m2, polygons.provenance
    if provenance.min_area_px > 1:
        if provenance.classes is not None:
            reason = "some classes are not published, and a minimum area moved pixels between them"
            return not_compared("independent", "area_m2", polygons.key, reason)
        found, expected = (area.sum(keepdims=True) for area in (found, expected))
    elif provenance.classes is not None:
        expected = np.where(np.isin(np.arange(256), provenance.classes), expected, 0)
    differs = np.flatnonzero(~(np.abs(found - expected) <= AREA_TOLERANCE * expected))
    if not len(differs):
        return _finding(polygons, "area_m2", f"{found.sum():.6f} m2", f"{expected.sum():.6f} m2", ok=True)
    of = f" of class {differs[0]}" if len(found) > 1 else ""
    one, other = (f"{area[differs[0]]:.6f} m2{of}" for area in (found, expected))
    return _finding(polygons, "area_m2", one, other, ok=False)


def _pixels(polygons: Polygons, seen: Audit) -> Iterator[Finding]:
    """Compare the column ``pixels`` with the class map."""
    summary, provenance = polygons.summary, polygons.provenance
    total = int(summary.pixels.sum())
    if provenance.classes is None:
        yield _finding(polygons, "pixels", f"{total}", f"{seen.valid_pixels} valid", total == seen.valid_pixels)
    if provenance.min_area_px > 1:
        reason = f"areas below {provenance.min_area_px} pixels took another class"
        yield not_compared("independent", "pixels by class", polygons.key, reason)
        return
    expected = seen.histogram.copy()
    expected[NODATA_CLASS] = 0
    if provenance.classes is not None:
        expected[~np.isin(np.arange(256), provenance.classes)] = 0
    differs = np.flatnonzero(expected != summary.pixels)
    shown = differs if len(differs) else np.flatnonzero(expected)
    found, wanted = (" ".join(f"{i}:{counts[i]}" for i in shown) for counts in (summary.pixels, expected))
    yield _finding(polygons, "pixels by class", found, wanted, not len(differs))


def _duplicates(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Ids that occur in several rows."""
    values, counts = np.unique(ids, return_counts=True)
    return np.asarray(values[counts > 1])


def _first(faults: NDArray[np.int64] | tuple[str, ...]) -> str:
    """Name the first one."""
    return f", such as {faults[0]}" if len(faults) else ""
