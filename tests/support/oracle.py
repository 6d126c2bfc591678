"""Polygons of a class map by GDAL's polygonizer, for comparison.

Each polygon is exact, but GDAL leaves out the vertices of T-junctions, so the polygons are no coverage in GEOS's sense.
"""

from pathlib import Path

import numpy as np
import shapely
from rasterio import features

from geoseg.grid.legend import NODATA_CLASS
from geoseg.vector.polygons import PixelPolygons
from tests.support.scenes import read_band


def polygonize(classes_path: Path, confidence_path: Path) -> PixelPolygons:
    """Trace every 4-connected component of a class map and sum the confidence over its pixels.

    Args:
        classes_path: Class ids, uint8; 255 is nodata and becomes no polygon.
        confidence_path: Confidence of the same size, uint8.

    Returns:
        The polygons in pixel space, by first pixel.
    """
    classes, confidence = read_band(classes_path), read_band(confidence_path)
    shapes = features.shapes(classes, classes != NODATA_CLASS, connectivity=4)
    traced = [(shapely.geometry.shape(shape), int(value)) for shape, value in shapes]
    geometry = np.array([polygon for polygon, _ in traced], object)
    class_id = np.array([value for _, value in traced], np.uint8)
    owner = np.full(classes.shape, -1, np.int32)
    if traced:
        features.rasterize(((polygon, i) for i, (polygon, _) in enumerate(traced)), out=owner)
    valid = owner >= 0
    assert np.array_equal(valid, classes != NODATA_CLASS)
    assert np.array_equal(class_id[owner[valid]], classes[valid])
    ids, first_pixel, pixels = np.unique(np.where(valid, owner, len(traced)), return_index=True, return_counts=True)
    sums = np.bincount(owner[valid], confidence[valid], minlength=len(traced)).astype(np.int64)
    order = np.argsort(first_pixel[ids < len(traced)])
    return PixelPolygons(
        geometry[order],
        class_id[order],
        first_pixel[order].astype(np.int64),
        pixels[order].astype(np.int64),
        sums[order],
    )
