"""Polygons that touch in corners, as one multipolygon: 8-connectivity."""

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.grid.legend import NODATA_CLASS
from geoseg.grid.window import Window
from geoseg.vector.labels.components import find_components
from geoseg.vector.labels.union_find import unite
from geoseg.vector.polygons import PixelPolygons


def join_corners(classes: NDArray[np.uint8], polygons: PixelPolygons) -> PixelPolygons:
    """Make one multipolygon of all polygons of one class that touch in corners of pixels.

    The parts stay the polygons of 4-connectivity, so the geometries are valid and leave no gap; a polygon that touches
    no other stays a polygon.

    Args:
        classes: Class ids, shape (H, W); 255 is nodata.
        polygons: Its 4-connected components, by first pixel.
    """
    scene = Window(0, 0, *classes.shape)
    runs, components = find_components(classes, np.zeros_like(classes), scene, scene.width)
    label = runs.spread(runs.values, scene.width)
    touching = [np.empty((0, 2), np.int64)]
    for one, other in ((np.s_[:-1, :-1], np.s_[1:, 1:]), (np.s_[:-1, 1:], np.s_[1:, :-1])):
        same = (classes[one] == classes[other]) & (classes[one] != NODATA_CLASS) & (label[one] != label[other])
        touching.append(np.unique(np.stack([label[one][same], label[other][same]], axis=1), axis=0))
    names = components.first_pixel
    whole = unite(names, names[np.concatenate(touching)])
    first, part, row = np.unique(whole, return_index=True, return_inverse=True)
    order = np.argsort(row, kind="stable")
    collected = shapely.multipolygons(polygons.geometry[order], indices=row[order])
    alone = np.bincount(row) == 1
    collected[alone] = polygons.geometry[part[alone]]
    pixels, confidence = np.zeros(len(first), np.int64), np.zeros(len(first), np.int64)
    np.add.at(pixels, row, polygons.pixels)
    np.add.at(confidence, row, polygons.confidence_sum)
    return PixelPolygons(collected, polygons.class_id[part], first, pixels, confidence)
