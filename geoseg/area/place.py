"""Place an area of interest on the grid of a scene."""

from collections.abc import Iterator, Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS
from pyproj.exceptions import ProjError

from geoseg.area.mapping import Mapping, Points
from geoseg.area.read import AreaOfInterest
from geoseg.errors import SceneError
from geoseg.grid.window import Grid
from geoseg.publish.geodesy.crs import transformer
from geoseg.raster.source.scene import Scene
from geoseg.raster.validity.area import Area

PROBES = 33
"""Points along each side of a scene that tell where it lies in the CRS of the area."""
MARGIN = 0.05
"""Margin around a scene, relative to its size, outside of which the area is cut off."""

Bounds = tuple[float, float, float, float]
"""West, south, east, north."""


def place_area(aoi: AreaOfInterest, scene: Scene) -> Area:
    """Find the pixels of a scene whose centre lies in the area of interest.

    Raises:
        SceneError: If the scene has no CRS, or the area has no place in it.
    """
    if not scene.grid.crs:
        raise SceneError(
            f"{scene.path} has no CRS, so the area of interest {aoi.source} has no place on it. Set scene.assume_crs, "
            "or leave scene.aoi out."
        )
    try:
        edges = [np.hstack([ring[:-1], ring[1:]]) for ring in _rings(aoi, scene.grid)]
    except ValueError as error:
        raise SceneError(
            f"{scene.path}: the area of interest {aoi.source} {error}. Cut it nearer to the scene, or give it in "
            "longitude and latitude."
        ) from error
    return Area.of(np.concatenate([np.empty((0, 4)), *edges]), scene.grid.window)


def describe_outside(aoi: AreaOfInterest, scenes: Sequence[Scene]) -> str:
    """An error message: the area touches none of the scenes. It tells where both are, so that swapped axes show."""
    bounds = scene_bounds(scenes[0].grid, aoi.crs)
    there = "" if bounds is None else f" {scenes[0].path} lies at {_text(bounds)}."
    which = "the scene" if len(scenes) == 1 else f"any of the {len(scenes)} scenes"
    return (
        f"The area of interest {aoi.source} does not touch {which}. In {aoi.crs.name} it lies at "
        f"{_text(aoi.geometry.bounds)}.{there} Check its CRS, and that x (longitude) comes before y (latitude)."
    )


def scene_bounds(grid: Grid, crs: CRS) -> Bounds | None:
    """Bounds of a scene in another CRS; None if unknown. East is above 180 degrees across the antimeridian."""
    try:
        to_crs = transformer(CRS.from_wkt(grid.crs), crs)
        x, y = grid.to_crs(_probes(grid)).reshape(-1, 2).T
        if crs.is_geographic and not CRS.from_wkt(grid.crs).is_geographic:
            # Unlike probes, this finds a pole within the scene.
            west, south, east, north = to_crs.transform_bounds(x.min(), y.min(), x.max(), y.max(), densify_pts=PROBES)
            bounds = west, south, east + 360 * (east < west), north
        else:
            x, y = to_crs.transform(x, y)
            bounds = x.min(), y.min(), x.max(), y.max()
    except ProjError:
        return None
    return bounds if np.isfinite(bounds).all() else None


def _text(bounds: Bounds) -> str:
    west, south, east, north = (f"{value:.7g}" for value in bounds)
    return f"x {west} to {east}, y {south} to {north}"


def _rings(aoi: AreaOfInterest, grid: Grid) -> Iterator[Points]:
    """The rings of the area in pixels of a scene."""
    mapping = Mapping.of(aoi.crs, grid)
    # Degrees are defined everywhere, other CRSs only around the scene.
    area = aoi.geometry if mapping.to_degrees else _cut(aoi, grid)
    for ring in shapely.get_rings(shapely.get_parts(area)):
        yield from mapping.place(shapely.get_coordinates(ring))


def _cut(aoi: AreaOfInterest, grid: Grid) -> shapely.Geometry:
    """Cut off what is far from the scene. Longitudes may be of any turn around the earth."""
    bounds = scene_bounds(grid, aoi.crs)
    if bounds is None:
        return aoi.geometry
    west, south, east, north = bounds
    x_margin, y_margin = MARGIN * (east - west), MARGIN * (north - south)
    if aoi.crs.is_geographic:  # no place twice
        x_margin = min(x_margin, (360 - (east - west)) / 2)
    box = shapely.box(west - x_margin, south - y_margin, east + x_margin, north + y_margin)
    turns = np.array([[-360.0, 0], [0, 0], [360, 0]] if aoi.crs.is_geographic else [[0.0, 0]])
    parts = [
        shapely.intersection(shapely.transform(aoi.geometry, lambda xy, turn=turn: xy + turn), box) for turn in turns
    ]
    return shapely.union_all([part for part in parts if part.area > 0])


def _probes(grid: Grid) -> NDArray[np.float64]:
    """Points all over a scene in pixels, shape (PROBES, PROBES, 2)."""
    cols, rows = (np.linspace(0, side, PROBES) for side in (grid.width, grid.height))
    return np.stack(np.meshgrid(cols, rows), axis=-1)
