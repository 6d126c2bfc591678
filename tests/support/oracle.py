"""Plain polygons of a finished class map, by GDAL.

Each polygon is exact, but where three meet the straight side lacks the vertex: the polygons cover the scene without a
gap, yet are no coverage that could be simplified.
"""

import warnings
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio import features
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError

from geoseg.errors import SceneError
from geoseg.grid.legend import NODATA_CLASS
from geoseg.raster.source.env import gdal_env
from geoseg.vector.polygons import PixelPolygons

BATCH = 4096
"""Polygons that are Python objects at one time; the others are shapely's, ten times smaller."""

STRIP_PIXELS = 1 << 22
"""Pixels in memory at one time while confidence is summed; about 80 MB."""


def polygonize(classes_path: Path, confidence_path: Path) -> PixelPolygons:
    """Trace every 4-connected component of a class map and sum the confidence over its pixels.

    Memory is bounded by the vertices of the polygons, not by the pixels of the scene: GDAL reads the class map line by
    line, twice.

    Args:
        classes_path: GeoTIFF of class ids, one uint8 band; 255 is nodata and becomes no polygon.
        confidence_path: GeoTIFF of the confidence, one uint8 band of the same size.

    Returns:
        The polygons, by first pixel.

    Raises:
        SceneError: If a file cannot be read, the files differ in size or hold something else than one uint8 band, or
            GDAL's polygons do not hold exactly the pixels of the class map.
    """
    try:
        with gdal_env(), _open(classes_path) as classes, _open(confidence_path) as confidence:
            _check(classes, confidence)
            geometry, class_id = _trace(features.shapes(rasterio.band(classes, 1), connectivity=4))
            first_pixel = _first_pixels(geometry, classes.width)
            order = np.argsort(first_pixel)
            geometry, class_id, first_pixel = geometry[order], class_id[order], first_pixel[order]
            pixels, confidence_sum = _sums(geometry, class_id, classes, confidence)
    except RasterioIOError as error:
        raise SceneError(
            f"{classes_path} or {confidence_path} cannot be read ({error}). Make the class map again."
        ) from error
    return PixelPolygons(geometry, class_id, first_pixel, pixels, confidence_sum)


def _open(path: Path) -> Any:
    """Open a GeoTIFF without its georeference, with which GDAL's polygonizer would return rounded map coordinates."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return rasterio.open(path, GEOREF_SOURCES="NONE")


def _check(classes: Any, confidence: Any) -> None:
    """Refuse what is not a class map with its confidence."""
    for dataset in (classes, confidence):
        if dataset.driver != "GTiff" or dataset.count != 1 or dataset.dtypes[0] != "uint8":
            raise SceneError(
                f"{dataset.name} is a {dataset.driver} of {dataset.count} band(s) of {dataset.dtypes[0]}; a class map "
                "and its confidence are GeoTIFFs of one uint8 band. Convert it, e.g. `rio convert --dtype uint8`."
            )
    if classes.shape != confidence.shape:
        raise SceneError(
            f"{classes.name} has {classes.shape} pixels and {confidence.name} {confidence.shape}. "
            "Give the class map and the confidence of the same scene."
        )


def _trace(shapes: Iterator[tuple[dict[str, Any], float]]) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Collect the polygons that are not nodata, and their classes."""
    found = ((shape["coordinates"], int(value)) for shape, value in shapes if int(value) != NODATA_CLASS)
    geometry: list[NDArray[Any]] = [np.empty(0, object)]
    class_id: list[NDArray[np.uint8]] = [np.empty(0, np.uint8)]
    while batch := list(islice(found, BATCH)):
        geometry.append(_to_shapely([rings for rings, _ in batch]))
        class_id.append(np.array([value for _, value in batch], np.uint8))
    return np.concatenate(geometry), np.concatenate(class_id)


def _to_shapely(polygons: Iterable[list[list[tuple[float, float]]]]) -> NDArray[Any]:
    """Build shapely polygons from nested coordinates, at one go."""
    rings = [np.array(ring) for polygon in polygons for ring in polygon]
    ring_offsets = np.cumsum([0, *(len(ring) for ring in rings)])
    polygon_offsets = np.cumsum([0, *(len(polygon) for polygon in polygons)])
    polygon_type = shapely.GeometryType.POLYGON
    return np.asarray(shapely.from_ragged_array(polygon_type, np.concatenate(rings), (ring_offsets, polygon_offsets)))


def _first_pixels(geometry: NDArray[Any], width: int) -> NDArray[np.int64]:
    """Index of the first pixel of each polygon: its north-west corner is the first of all its vertices."""
    vertices, owner = shapely.get_coordinates(geometry, return_index=True)
    starts = np.searchsorted(owner, np.arange(len(geometry)))
    col, row = vertices.astype(np.int64).T
    first = np.minimum.reduceat(row * (width + 1) + col, starts) if len(starts) else np.empty(0, np.int64)
    return first // (width + 1) * width + first % (width + 1)


def _sums(
    geometry: NDArray[Any], class_id: NDArray[np.uint8], classes: Any, confidence: Any
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pixels and sum of confidence of each polygon, by burning the polygons back, strip by strip.

    Raises:
        SceneError: If a pixel got another class than the class map's, or a polygon's area is not its pixels.
    """
    pixels, total = np.zeros(len(geometry), np.int64), np.zeros(len(geometry), np.int64)
    _, north, _, south = shapely.bounds(geometry).T
    # One entry more: a pixel that no polygon holds has the index -1.
    burnt_class = np.append(class_id, np.uint8(NODATA_CLASS))
    rows = max(1, STRIP_PIXELS // classes.width)
    for row in range(0, classes.height, rows):
        window = ((row, min(row + rows, classes.height)), (0, classes.width))
        indices = np.flatnonzero((north < window[0][1]) & (south > row))
        owner = _burn(geometry, indices, window)
        if not np.array_equal(burnt_class[owner], classes.read(1, window=window)):
            raise SceneError(f"{classes.name}: the polygons of rows {row}:{window[0][1]} differ from the class map.")
        valid = owner >= 0
        owner, weights = owner[valid], confidence.read(1, window=window)[valid]
        pixels += np.bincount(owner, minlength=len(geometry))
        # Float64 holds these sums exactly: 255 * STRIP_PIXELS < 2**53.
        total += np.bincount(owner, weights, minlength=len(geometry)).astype(np.int64)
    if not np.array_equal(pixels, shapely.area(geometry)):
        raise SceneError(f"{classes.name}: the area of a polygon differs from its number of pixels.")
    return pixels, total


def _burn(
    geometry: NDArray[Any], indices: NDArray[np.intp], window: tuple[tuple[int, int], tuple[int, int]]
) -> NDArray[np.int32]:
    """Index of the polygon that holds each pixel of the window, -1 where there is none."""
    (row, row_stop), (_, width) = window
    owner = np.full((row_stop - row, width), -1, np.int32)
    for start in range(0, len(indices), BATCH):
        batch = indices[start : start + BATCH]
        shapes = zip(geometry[batch], batch.tolist(), strict=True)
        features.rasterize(shapes, out=owner, transform=rasterio.Affine.translation(0, row))
    return owner
