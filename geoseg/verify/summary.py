"""Ids, sums, faults and unpaired edges of a scene's polygons, from one pass over the files."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray

from geoseg.verify.coverage import Edges, ToPixel, cancel, displaced_edges, polygon_edges

COLUMNS = ("polygon_id", "class_id", "area_m2", "pixels", "geometry", "bbox")


@dataclass(frozen=True, slots=True)
class Summary:
    """Summary of the polygons of a scene."""

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
    invalid_rings: tuple[str, ...]
    """Invalid geometries: file, polygon_id, reason."""
    wrong_boxes: tuple[str, ...]
    """Boxes that do not match the geometry: file, polygon_id."""
    displaced: int
    """Number of edges as of `geoseg.verify.coverage.displaced_edges`."""
    first_displaced: Edges
    """The first such edge, shape (1, 4) or (0, 4)."""
    unpaired_edges: Edges
    """Edges without an opposite edge."""


def summarize(parts: Sequence[Path], to_pixel: ToPixel | None = None) -> Summary:
    """Read the parts of a scene, a row group at a time.

    Memory holds a row group, nine bytes for each polygon, and the boundary of the polygons so far. It is short, because
    rows are sorted along a Hilbert curve.

    Args:
        parts: GeoParquet files with the columns of `geoseg.publish.polygon_table.POLYGON_SCHEMA`.
        to_pixel: From the CRS of the polygons to pixel space, if that is not the CRS of the scene; None skips the check
            for displaced edges.
    """
    ids, classes = [np.empty(0, np.int64)], [np.empty(0, np.uint8)]
    areas, areas_m2 = [0.0], np.zeros(256)
    pixels = np.zeros(256, np.int64)
    bad: list[str] = []
    boxes: list[str] = []
    displaced, first_displaced = 0, np.empty((0, 4))
    unpaired = [np.empty((0, 4))]
    for part in parts:
        with pq.ParquetFile(part) as file:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=list(COLUMNS))
                polygon_id, class_id, area_m2, count, wkb = (table[name].to_numpy() for name in COLUMNS[:-1])
                geometry = shapely.from_wkb(wkb, on_invalid="ignore")
                bad += [f"{part}: polygon_id {polygon_id[i]}: {why}" for i, why in _invalid_rings(geometry)]
                ids.append(polygon_id)
                classes.append(class_id)
                np.add.at(pixels, class_id, count)
                areas.append(fsum(shapely.area(geometry[shapely.is_geometry(geometry)])))
                areas_m2 += np.bincount(class_id, area_m2, 256)
                wrong = _wrong_boxes(table["bbox"].combine_chunks(), geometry)
                boxes += [f"{part}: polygon_id {polygon_id[i]}" for i in wrong]
                polygons = geometry[shapely.get_type_id(geometry) == shapely.GeometryType.POLYGON]
                edges = polygon_edges(polygons)
                if to_pixel is not None:
                    far = displaced_edges(edges, to_pixel)
                    displaced, first_displaced = displaced + len(far), np.concatenate([first_displaced, far])[:1]
                unpaired.append(cancel(edges))
                # Not for every row group, because it sorts all unpaired edges beside nodata again.
                if sum(map(len, unpaired[1:])) > len(unpaired[0]):
                    unpaired = [cancel(np.concatenate(unpaired))]
    return Summary(
        np.concatenate(ids),
        np.concatenate(classes),
        pixels,
        fsum(areas),
        areas_m2,
        tuple(bad),
        tuple(boxes),
        displaced,
        first_displaced,
        cancel(np.concatenate(unpaired)),
    )


def _invalid_rings(geometry: NDArray[np.object_]) -> list[tuple[int, str]]:
    """Index of each geometry that is no valid polygon, and the reason."""
    polygon = shapely.get_type_id(geometry) == shapely.GeometryType.POLYGON
    empty = polygon & shapely.is_empty(geometry)
    invalid = polygon & ~shapely.is_valid(geometry)
    clockwise = polygon & ~empty & ~shapely.is_ccw(shapely.get_exterior_ring(geometry))
    reasons = [(~polygon, "is no polygon"), (empty, "is empty"), (clockwise, "has a clockwise shell")]
    faults = [(int(i), why) for mask, why in reasons for i in np.flatnonzero(mask)]
    return faults + [(int(i), shapely.is_valid_reason(geometry[i])) for i in np.flatnonzero(invalid)]


def _wrong_boxes(boxes: pa.StructArray, geometry: NDArray[np.object_]) -> NDArray[np.intp]:
    """Index of each box that does not match its geometry; rows without a geometry are skipped."""
    found = np.stack([field.to_numpy() for field in boxes.flatten()], axis=-1)
    judged = shapely.is_geometry(geometry) & ~shapely.is_empty(geometry)
    return np.flatnonzero(judged & (found != shapely.bounds(geometry)).any(axis=1))
