"""Polygons in pixel space to their place on the ground, without the code under test."""

from dataclasses import replace

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.grid.window import Grid
from geoseg.publish.geodesy.pixel_area import pixel_area
from geoseg.vector.labels.components import find_components
from geoseg.vector.polygons import PixelPolygons


def place(polygons: PixelPolygons, grid: Grid) -> PixelPolygons:
    """Polygons in pixel space as `build_table` wants them."""
    placed = shapely.transform(polygons.geometry, grid.to_crs)
    return replace(polygons, geometry=shapely.orient_polygons(placed))


def measure(polygons: PixelPolygons, grid: Grid, classes: NDArray[np.uint8]) -> PixelPolygons:
    """The polygons of a whole class map, by first pixel, with the areas of their pixels."""
    runs, components = find_components(classes, classes, grid.window, grid.width)
    assert components.first_pixel.tolist() == polygons.first_pixel.tolist()
    labels = runs.spread(runs.values, grid.width)
    areas = np.zeros(len(components), np.int64)
    np.add.at(areas, labels[labels >= 0], pixel_area(grid).units(grid.window)[labels >= 0])
    return replace(polygons, area_units=areas)
