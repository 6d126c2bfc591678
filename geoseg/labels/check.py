"""`geoseg labels check`: mistakes of digitizing that a training would learn, or that leave ground without a label."""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import geopandas
import numpy as np
import shapely

from geoseg.area.polygon_parts import polygon_parts
from geoseg.labels.label_file import CLASS, PIXEL, WINDOW, LabelFile, check_output, concatenate, write_layers

OVERLAP_PX = 0.01
"""Overlaps and gaps of less area, in pixels, are rounding."""
SLIVER_PX = 0.5
"""Polygons of a lesser mean width, in pixels, are slivers."""
_PIXELS_OF_A_POLYGON = 100
"""Pixels of the median polygon in files that do not tell the size of a pixel."""


class Kind(StrEnum):
    """Kinds of problems."""

    CLASS = "unknown class"
    OVERLAP = "overlap"
    INVALID = "invalid geometry"
    GAP = "gap"
    SLIVER = "sliver"

    @property
    def plural(self) -> str:
        """The word for several."""
        return {Kind.CLASS: "unknown classes", Kind.INVALID: "invalid geometries"}.get(self, f"{self}s")


HARMFUL = frozenset({Kind.CLASS, Kind.OVERLAP, Kind.INVALID})
"""Problems that give pixels a wrong class, or none that can be drawn; gaps and slivers are only suspicious."""


class Problem(NamedTuple):
    """A problem and its place."""

    kind: Kind
    text: str
    geometry: shapely.Geometry


def check_labels(file: LabelFile, classes: Sequence[str]) -> list[Problem]:
    """Find problems of labels.

    Args:
        file: The labels.
        classes: Names that are allowed; none: those of the file itself, if it tells them.

    Returns:
        Problems by kind, in the order of the file.
    """
    pixel = _pixel(file)
    return [
        *_unknown_classes(file.labels, classes or tuple(file.classes)),
        *_invalid(file.labels),
        *_overlaps(file.labels, pixel),
        *_gaps(file, pixel),
        *_slivers(file, pixel),
    ]


def write_problems(path: Path, found: Sequence[tuple[LabelFile, Sequence[Problem]]], *, overwrite: bool) -> None:
    """Write the places of problems as a GeoPackage of points.

    Raises:
        SettingsError: If the name does not end in .gpkg, or the file exists.
        OSError: If it cannot be written.
    """
    check_output(path, overwrite=overwrite)
    frames = [
        geopandas.GeoDataFrame(
            {
                "file": str(file.path),
                "problem": [str(one.kind) for one in problems],
                "text": [one.text for one in problems],
            },
            geometry=[one.geometry.representative_point() for one in problems],
            crs=file.labels.crs,
        )
        for file, problems in found
    ]
    write_layers(path, {"problems": concatenate(frames, found[0][0].labels.crs)})


def source_of(path: Path, problem: Problem) -> str:
    """A problem as a sentence with its file and place."""
    point = problem.geometry.representative_point()
    return f"{path}: {problem.kind} at {point.x:.6g}, {point.y:.6g}: {problem.text}"


def _pixel(file: LabelFile) -> float:
    """Side of a pixel in units of the CRS."""
    if file.windows is not None and PIXEL in file.windows.columns and len(file.windows):
        return float(file.windows[PIXEL].median())
    areas = shapely.area(file.labels.geometry.values)
    return float(np.sqrt(np.median(areas) / _PIXELS_OF_A_POLYGON)) if len(areas) else 1.0


def _unknown_classes(labels: geopandas.GeoDataFrame, classes: Sequence[str]) -> Iterator[Problem]:
    for name, geometry in zip(labels[CLASS], labels.geometry, strict=True):
        if not isinstance(name, str) or not name:
            yield Problem(Kind.CLASS, f"{CLASS} is empty", geometry)
        elif classes and name not in classes:
            near = get_close_matches(name, classes, 1)
            hint = f"did you mean {near[0]}?" if near else f"the classes are {', '.join(classes)}"
            yield Problem(Kind.CLASS, f"{name!r} is no class; {hint}", geometry)


def _invalid(labels: geopandas.GeoDataFrame) -> Iterator[Problem]:
    for geometry in labels.geometry:
        if geometry is None or geometry.is_empty:
            yield Problem(Kind.INVALID, "the polygon is empty", shapely.Point(0, 0))
        elif not geometry.is_valid:
            yield Problem(Kind.INVALID, shapely.is_valid_reason(geometry), geometry)


def _overlaps(labels: geopandas.GeoDataFrame, pixel: float) -> Iterator[Problem]:
    geometry = shapely.make_valid(labels.geometry.values)
    windows = labels[WINDOW].where(labels[WINDOW].notna(), "").to_numpy()
    first, second = shapely.STRtree(geometry).query(geometry, predicate="intersects")
    # Windows of two scenes may overlap; only labels of one window must not, and those that a person added.
    alike = (windows[first] == windows[second]) | (windows[first] == "") | (windows[second] == "")
    once = (first < second) & alike
    common = shapely.intersection(geometry[first[once]], geometry[second[once]])
    names = labels[CLASS].to_numpy()
    for one, other, shared in zip(first[once], second[once], common, strict=True):
        if shared.area > OVERLAP_PX * pixel**2:
            area = shared.area / pixel**2
            yield Problem(Kind.OVERLAP, f"{names[one]} and {names[other]} share {area:.1f} pixels", shared)


def _gaps(file: LabelFile, pixel: float) -> Iterator[Problem]:
    """Ground of a window without a label; without windows, holes in the union of all labels."""
    covered = shapely.union_all(shapely.make_valid(file.labels.geometry.values))
    if file.windows is None:
        parts, _ = polygon_parts(np.array([covered]))
        holes = [shapely.Polygon(ring) for part in parts for ring in part.interiors]
    else:
        uncovered = shapely.difference(file.windows.geometry.values, covered)
        holes = list(polygon_parts(uncovered)[0])
    for hole in holes:
        if hole.area > OVERLAP_PX * pixel**2:
            yield Problem(Kind.GAP, f"{hole.area / pixel**2:.1f} pixels without a label", hole)


def _slivers(file: LabelFile, pixel: float) -> Iterator[Problem]:
    """Thin polygons, but for those that the outline of a window cut off."""
    geometry = file.labels.geometry.values
    lengths = shapely.length(geometry)
    thin = 2 * shapely.area(geometry) < SLIVER_PX * pixel * lengths
    outlines = None if file.windows is None else shapely.union_all(shapely.boundary(file.windows.geometry.values))
    for one, name in zip(geometry[thin], file.labels[CLASS].to_numpy()[thin], strict=True):
        if outlines is None or shapely.distance(one, outlines) > pixel * OVERLAP_PX:
            width = 2 * one.area / one.length / pixel
            yield Problem(Kind.SLIVER, f"{name} is {width:.2f} pixels wide", one)
