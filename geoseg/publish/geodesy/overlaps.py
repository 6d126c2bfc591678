"""Find scenes of an output that overlap: polygons of the common area are published once for each scene."""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from geoseg.grid.window import Grid
from geoseg.publish.geodesy.crs import transformer
from geoseg.publish.geodesy.measure import horizontal, to_geodetic

LONGITUDE_LATITUDE = "EPSG:4326"
NAMED = 3
"""Number of pairs that a warning names."""
MOST_PAIRS = 100_000
"""Counting stops here."""
AT_A_TIME = 8
"""Number of outlines compared with all others in one query; bounds the pairs in memory."""
POINTS_A_SIDE = 16
"""Points on each side of an outline that is transformed, because straight sides become curves."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """A scene of an output."""

    name: str
    """For messages."""
    grid: Grid
    """Its grid, with a CRS."""
    new: bool
    """Whether it belongs to this run."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """The common area of two scenes."""

    first: str
    second: str
    area_m2: float


def overlap_warnings(footprints: Sequence[Footprint], *, one_crs: bool) -> list[str]:
    """Warn, in at most one sentence, if scenes of a run overlap each other or scenes of the output.

    The outlines of scenes are compared, nodata included.

    Args:
        footprints: All scenes of the output.
        one_crs: Whether they share a CRS; otherwise they are compared in longitude and latitude.
    """
    count, largest = find_overlaps(footprints, one_crs=one_crs)
    if not count:
        return []
    if count == 1:
        warning = f"{largest[0].first} and {largest[0].second} overlap by {_km2(largest[0].area_m2)}"
    else:
        pairs = f"{'more than ' if count > MOST_PAIRS else ''}{min(count, MOST_PAIRS):,} pairs of scenes"
        named = (f"{pair.first} and {pair.second} by {_km2(pair.area_m2)}" for pair in largest)
        warning = f"{pairs} overlap, most of all {'; '.join(named)}"
    remedy = (
        "give them as one scene (--mosaic NAME, or mosaics: in a --config file), or cut them (gdal_translate -projwin)"
    )
    warning += " (outlines, nodata included). Polygons there are published once for each scene"
    return [f"{warning}. If once is enough, {remedy}."]


def find_overlaps(footprints: Sequence[Footprint], *, one_crs: bool) -> tuple[int, list[Overlap]]:
    """Count the pairs of scenes, one of them new, that share more than a pixel, and measure the largest.

    Args:
        footprints: As for `overlap_warnings`.
        one_crs: As there.

    Returns:
        Number of pairs, counted to a little above `MOST_PAIRS`, and at most `NAMED` of them, largest first.
    """
    if not footprints:
        return 0, []
    outlines = shapely.polygons(np.stack([_outline(footprint.grid, one_crs=one_crs) for footprint in footprints]))
    new = np.array([footprint.new for footprint in footprints])
    pixel = shapely.area(outlines) / [footprint.grid.height * footprint.grid.width for footprint in footprints]
    tree, count = shapely.STRtree(outlines), 0
    largest: list[tuple[float, int, int]] = []
    for start in range(0, len(outlines), AT_A_TIME):
        near, second = tree.query(outlines[start : start + AT_A_TIME], predicate="intersects")
        first = near + start
        pairs = (first < second) & (new[first] | new[second])
        first, second = first[pairs], second[pairs]
        area = shapely.area(shapely.intersection(outlines[first], outlines[second]))
        # Adjacent scenes on one grid share a side, which rounding may turn into a sliver.
        shared = area > np.maximum(pixel[first], pixel[second])
        count += int(shared.sum())
        candidates = zip(area[shared].tolist(), first[shared].tolist(), second[shared].tolist(), strict=True)
        largest = heapq.nlargest(NAMED, [*largest, *candidates])
        if count > MOST_PAIRS:
            break
    crs = CRS.from_user_input(footprints[0].grid.crs if one_crs else LONGITUDE_LATITUDE)
    common = [(footprints[a].name, footprints[b].name, shapely.intersection(*outlines[[a, b]])) for _, a, b in largest]
    return count, [Overlap(first, second, _ground_m2(shape, crs)) for first, second, shape in common]


def _outline(grid: Grid, *, one_crs: bool) -> NDArray[np.float64]:
    """Corners of a scene in its CRS, shape (4, 2), or points along its sides in longitude and latitude."""
    outline = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float64)
    if not one_crs:
        steps = np.linspace(0, 1, POINTS_A_SIDE, endpoint=False)[:, None]
        outline = np.concatenate([p + steps * (q - p) for p, q in zip(outline, np.roll(outline, -1, 0), strict=True)])
    x, y = grid.to_crs(outline * (grid.width, grid.height)).T
    if not one_crs:
        x, y = transformer(CRS.from_wkt(grid.crs), CRS.from_user_input(LONGITUDE_LATITUDE)).transform(x, y)
        x = np.unwrap(np.where(np.isfinite(x), x, 0), period=360)
    return np.stack([x, np.where(np.isfinite(y), y, 0)], 1)


def _ground_m2(shape: Any, crs: CRS) -> float:
    """Area on the ellipsoid; on the map if the CRS has no ellipsoid."""
    geodetic = horizontal(crs).geodetic_crs
    geod = geodetic.get_geod() if geodetic is not None else None
    if geod is None:
        return float(shape.area)
    parts = shapely.get_parts(shapely.segmentize(shape, math.sqrt(shape.area) / POINTS_A_SIDE))
    way, total_m2 = to_geodetic(crs), 0.0
    for ring in shapely.get_exterior_ring(parts[shapely.area(parts) > 0]):
        total_m2 += abs(geod.polygon_area_perimeter(*way.transform(*shapely.get_coordinates(ring).T))[0])
    return total_m2 if math.isfinite(total_m2) else float(shape.area)


def _km2(area_m2: float) -> str:
    return f"{area_m2 / 1e6:,.1f} km2" if area_m2 >= 1e7 else f"{area_m2 / 1e6:.3g} km2"
