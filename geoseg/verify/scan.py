"""What the checks of a scene need of its polygons, from one pass over the files."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray

from geoseg.verify.coverage import Edges, ToPixel, bent_edges, cancel, polygon_edges

COLUMNS = ("polygon_id", "class_id", "area_m2", "pixels", "geometry", "bbox")


@dataclass(frozen=True, slots=True)
class Scan:
    """The polygons of a scene, summed up."""

    polygon_id: NDArray[np.int64]
    """Of each polygon, shape (N,)."""
    class_id: NDArray[np.uint8]
    """Of each polygon, shape (N,)."""
    pixels: NDArray[np.int64]
    """Sum of the column for each class, shape (256,)."""
    area: float
    """Sum of the geometries' areas, in squared units of their CRS."""
    area_m2: NDArray[np.float64]
    """Sum of the column for each class, shape (256,)."""
    bad_rings: tuple[str, ...]
    """What is wrong with geometries: file, polygon_id, reason."""
    bad_boxes: tuple[str, ...]
    """Boxes that are not those of the geometry: file, polygon_id."""
    bent: int
    """Edges that leave the place of the scene's, see `geoseg.verify.coverage.bent_edges`."""
    first_bent: Edges
    """The first of them, shape (1, 4) or (0, 4)."""
    lone_edges: Edges
    """Edges without a partner in the opposite direction."""


def scan(parts: Sequence[Path], to_pixel: ToPixel | None = None) -> Scan:
    """Read the parts of a scene, a row group at a time.

    Memory is bounded by a row group, nine bytes a polygon, and the boundary of what was read so far: rows lie along a
    Hilbert curve, so that is short.

    Args:
        parts: GeoParquet files with the columns of `geoseg.publish.polygon_table.POLYGON_SCHEMA`.
        to_pixel: The way back to the pixels, for polygons in another CRS than the scene; None judges no place.
    """
    ids, classes = [np.empty(0, np.int64)], [np.empty(0, np.uint8)]
    areas, areas_m2 = [0.0], np.zeros(256)
    pixels = np.zeros(256, np.int64)
    bad: list[str] = []
    boxes: list[str] = []
    bent, first_bent = 0, np.empty((0, 4))
    lone = [np.empty((0, 4))]
    for part in parts:
        with pq.ParquetFile(part) as file:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=list(COLUMNS))
                polygon_id, class_id, area_m2, count, wkb = (table[name].to_numpy() for name in COLUMNS[:-1])
                geometry = shapely.from_wkb(wkb, on_invalid="ignore")
                bad += [f"{part}: polygon_id {polygon_id[i]}: {why}" for i, why in _bad_rings(geometry)]
                ids.append(polygon_id)
                classes.append(class_id)
                np.add.at(pixels, class_id, count)
                areas.append(fsum(shapely.area(geometry[shapely.is_geometry(geometry)])))
                areas_m2 += np.bincount(class_id, area_m2, 256)
                wrong = _bad_boxes(table["bbox"].combine_chunks(), geometry)
                boxes += [f"{part}: polygon_id {polygon_id[i]}" for i in wrong]
                polygons = geometry[shapely.get_type_id(geometry) == shapely.GeometryType.POLYGON]
                edges = polygon_edges(polygons)
                if to_pixel is not None:
                    found = bent_edges(edges, to_pixel)
                    bent, first_bent = bent + len(found), np.concatenate([first_bent, found])[:1]
                lone.append(cancel(edges))
                # Not each time: what waits beside nodata would be sorted again for every row group.
                if sum(map(len, lone[1:])) > len(lone[0]):
                    lone = [cancel(np.concatenate(lone))]
    return Scan(
        np.concatenate(ids),
        np.concatenate(classes),
        pixels,
        fsum(areas),
        areas_m2,
        tuple(bad),
        tuple(boxes),
        bent,
        first_bent,
        cancel(np.concatenate(lone)),
    )


def _bad_rings(geometry: NDArray[np.object_]) -> list[tuple[int, str]]:
    """Index of each geometry that is no sound polygon, and why."""
    polygon = shapely.get_type_id(geometry) == shapely.GeometryType.POLYGON
    empty = polygon & shapely.is_empty(geometry)
    invalid = polygon & ~shapely.is_valid(geometry)
    clockwise = polygon & ~empty & ~shapely.is_ccw(shapely.get_exterior_ring(geometry))
    reasons = [(~polygon, "is no polygon"), (empty, "is empty"), (clockwise, "has a clockwise shell")]
    found = [(int(i), why) for mask, why in reasons for i in np.flatnonzero(mask)]
    return found + [(int(i), shapely.is_valid_reason(geometry[i])) for i in np.flatnonzero(invalid)]


def _bad_boxes(boxes: pa.StructArray, geometry: NDArray[np.object_]) -> NDArray[np.intp]:
    """Index of each box that is not the one of its geometry; what is no geometry has none."""
    found = np.stack([field.to_numpy() for field in boxes.flatten()], axis=-1)
    judged = shapely.is_geometry(geometry) & ~shapely.is_empty(geometry)
    return np.flatnonzero(judged & (found != shapely.bounds(geometry)).any(axis=1))
