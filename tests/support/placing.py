"""Polygons in pixels to where they lie, by other means than the engine's."""

from dataclasses import replace

import shapely

from geoseg.grid.window import Grid
from geoseg.publish.polygons import to_crs
from geoseg.vector.polygons import PixelPolygons


def place(polygons: PixelPolygons, grid: Grid) -> PixelPolygons:
    """Polygons in pixel space as `build_table` wants them."""
    placed = shapely.transform(polygons.geometry, lambda pixel: to_crs(pixel, grid))
    return replace(polygons, geometry=shapely.orient_polygons(placed))
