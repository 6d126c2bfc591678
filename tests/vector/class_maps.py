"""Class maps that are hard to polygonize, and the oracle: GDAL's polygons without their collinear vertices."""

import numpy as np
import shapely
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rasterio import features

from geoseg.vector.labels.components import Runs

NODATA = 255

random_maps = hnp.array_shapes(min_dims=2, max_dims=2, max_side=18).flatmap(
    lambda shape: hnp.arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 2, NODATA]))
)
"""Up to 18 x 18 pixels, all shapes, nodata anywhere."""


def draw(picture):
    """A class map from a picture: one character a pixel, digits are classes and dots nodata."""
    rows = picture.split()
    return np.array([[NODATA if pixel == "." else int(pixel) for pixel in row] for row in rows], np.uint8)


def as_runs(pixels):
    """An array as runs, each as long as it can be."""
    begins = np.diff(pixels.astype(np.int64), axis=1, prepend=-2) != 0
    offsets = np.concatenate([[0], np.cumsum(begins.sum(axis=1))])
    return Runs(offsets, np.nonzero(begins)[1].astype(np.int32), pixels[begins])


def spiral(size):
    """One component in a spiral through every block, in another that spans everything too."""
    classes = np.zeros((size, size), np.uint8)
    for ring in range(0, size // 2, 2):
        classes[ring, ring : size - ring] = 1
        classes[ring : size - ring, size - 1 - ring] = 1
        classes[size - 1 - ring, ring : size - ring] = 1
        classes[ring + 2 : size - ring, ring] = 1
    return classes


def landscape_like(seed, shape, classes=4, nodata=0.1):
    """Blobs of some pixels, as a model leaves them, with a collar of nodata."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, classes, (shape[0] // 4 + 1, shape[1] // 4 + 1), dtype=np.uint8)
    found = np.kron(coarse, np.ones((4, 4), np.uint8))[: shape[0], : shape[1]]
    flip = rng.random(shape) < 0.15
    found[flip] = rng.integers(0, classes, int(flip.sum()))
    found[rng.random(shape) < nodata / 20] = NODATA
    row, col = np.indices(shape)
    found[row + col < nodata * (shape[0] + shape[1])] = NODATA
    return found


def hole_across_four_blocks():
    classes = np.zeros((12, 12), np.uint8)
    classes[2:10, 2:10] = 1
    classes[4:8, 4:8] = 2
    classes[5, 5] = 0
    return classes


def nodata_island():
    classes = np.full((12, 10), 3, np.uint8)
    classes[3:9, 2:7] = NODATA
    classes[5:7, 4:6] = 1
    return classes


HARD = {
    "diagonal touch at a block corner": draw("111000 111000 111000 000111 000111 000111"),
    "diagonal touch of one component at a block corner": draw("110000 110010 110111 111011 000000 000000"),
    "touches outside and inside": draw("11111 10101 11011 10101 11111"),
    "ring pinch": draw("000000 011100 010110 011010 001110 000000"),
    "hole across four blocks": hole_across_four_blocks(),
    "U through three blocks": draw("111000111 111000111 111000111 111000111 111111111 000000000"),
    "spiral that spans everything": spiral(17),
    "one-row last block": landscape_like(1, (13, 12)),
    "one-column last block": landscape_like(2, (12, 13)),
    "checkerboard": (np.indices((13, 13)).sum(axis=0) % 2).astype(np.uint8),
    "checkerboard with nodata": np.where(np.indices((9, 9)).sum(axis=0) % 2, NODATA, 5).astype(np.uint8),
    "all nodata": np.full((7, 5), NODATA, np.uint8),
    "one class": np.full((11, 7), 254, np.uint8),
    "nodata island": nodata_island(),
    "one pixel": np.zeros((1, 1), np.uint8),
    "one row": landscape_like(3, (1, 40)),
    "one column": landscape_like(4, (40, 1)),
}


def gdal_polygons(classes):
    """(class, polygon as canonical WKB) of each component, sorted."""
    found = features.shapes(classes, connectivity=4)
    return sorted((int(v), canonical(shapely.geometry.shape(shape))) for shape, v in found if v != NODATA)


def our_polygons(polygons):
    """The same of `PixelPolygons`."""
    return sorted(zip(polygons.class_id.tolist(), map(canonical, polygons.geometry), strict=True))


def canonical(polygon):
    rings = [_corners(ring) for ring in (polygon.exterior, *polygon.interiors)]
    return shapely.normalize(shapely.Polygon(rings[0], rings[1:])).wkb


def _corners(ring):
    xy = shapely.get_coordinates(ring)[:-1]
    to, on = xy - np.roll(xy, 1, axis=0), np.roll(xy, -1, axis=0) - xy
    return xy[to[:, 0] * on[:, 1] != to[:, 1] * on[:, 0]]
