"""Label polygons: read, placed on a class map, drawn as pixels."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import geopandas
import numpy as np
import pyogrio
import rasterio
import rasterio.features
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from geoseg.area.polygon_parts import polygon_parts
from geoseg.errors import SettingsError
from geoseg.evaluate.class_mapping import NO_LABEL, OTHERS, ClassMapping, Value
from geoseg.grid.window import Grid, Window
from geoseg.raster.source.env import without_georeference_warning

MISSING = "missing"
"""Value of a polygon of which the class is null."""
LAYER = "labels"
"""Layer of labels in a file with several."""
_EDGES = 32
"""Parts into which an edge of a scene's outline is cut, since straight edges become curves in another CRS."""


class PlacedPolygons(NamedTuple):
    """Polygons in the CRS of a class map, cut at its outline."""

    geometry: NDArray[Any]
    """Valid polygons of a single part, shape (N,)."""
    ids: NDArray[np.uint8]
    """Compared class of each; 255 for ``ignore``."""


@dataclass(frozen=True, slots=True)
class LabelPolygons:
    """Polygons of a file with the value of their class."""

    source: str
    geometry: NDArray[Any]
    """Valid polygons of a single part, shape (N,)."""
    values: tuple[Value, ...]
    """Number or name of the class of each; `OTHERS` if the file tells none."""
    crs: CRS

    def place(self, grid: Grid, mapping: ClassMapping, crs: CRS | None = None) -> PlacedPolygons:
        """Cut the polygons at the outline of a class map, and transform them.

        Args:
            grid: Grid of the class map.
            mapping: The compared classes.
            crs: CRS of the result; that of the class map by default.

        Raises:
            SettingsError: If a value stands for no class, or the class map has no place in the CRS of the polygons.
        """
        target = crs or CRS.from_wkt(grid.crs)
        outline = geopandas.GeoSeries([outline_of(grid)], crs=grid.crs).to_crs(self.crs).iloc[0]
        if not np.isfinite(outline.bounds).all():
            raise SettingsError(
                f"{self.source} is in {self.crs.name}, in which the class map has no place. Give it in another CRS."
            )
        meets = shapely.intersects(self.geometry, outline)
        geometry, ids = self.geometry[meets], self._ids(mapping)[meets]
        crosses = ~shapely.within(geometry, outline)
        geometry[crosses] = shapely.intersection(geometry[crosses], outline)
        moved = geopandas.GeoSeries(geometry, crs=self.crs).to_crs(target)
        parts, index = polygon_parts(np.asarray(moved.values))
        return PlacedPolygons(parts, ids[index])

    def _ids(self, mapping: ClassMapping) -> NDArray[np.uint8]:
        unique = list(dict.fromkeys(self.values))
        targets = dict(zip(unique, mapping.label_ids(unique, self.source, {}), strict=True))
        return np.array([targets[value] for value in self.values], np.uint8)


def read_label_polygons(path: Path, column: str | None) -> LabelPolygons:
    """Read polygons and their classes; repair invalid ones.

    Args:
        path: GeoParquet, GeoPackage, GeoJSON, Shapefile or FlatGeobuf.
        column: Column with numbers or names of classes; by default ``class_name``, if there is one.

    Raises:
        SettingsError: If the file cannot be read or holds no polygons, has no CRS, several layers of which none is
            ``labels``, or the column is missing.
    """
    try:
        is_parquet = path.suffix.lower().endswith("parquet")
        frame = geopandas.read_parquet(path) if is_parquet else geopandas.read_file(path, layer=_layer(path))
    except SettingsError:
        raise
    except Exception as error:  # each driver has errors of its own
        raise SettingsError(f"{path} cannot be read as polygons: {error}") from error
    if not isinstance(frame, geopandas.GeoDataFrame) or frame.crs is None:
        what = "CRS, so its polygons have no place on the class map" if hasattr(frame, "crs") else "geometry"
        raise SettingsError(f"{path} has no {what}. Give label rasters or label polygons with a CRS.")
    columns = [str(name) for name in frame.columns if name != frame.geometry.name]
    chosen = column or ("class_name" if "class_name" in columns else None)
    if chosen is not None and chosen not in columns:
        raise SettingsError(f"{path} has no column {chosen}; it has {', '.join(columns) or 'none'}.")
    values: list[Value] = [OTHERS] * len(frame)
    if chosen is not None:
        classes = frame[chosen]
        values = [MISSING if gone else _plain(one) for gone, one in zip(classes.isna(), classes, strict=True)]
    parts, index = polygon_parts(np.asarray(frame.geometry.values))
    if not len(parts):
        kinds = ", ".join(sorted({str(kind) for kind in frame.geom_type.dropna()})) or "nothing"
        raise SettingsError(f"{path} holds no polygons but {kinds}. Labels are polygons or rasters.")
    return LabelPolygons(str(path), parts, tuple(values[place] for place in index), CRS.from_user_input(frame.crs))


def _layer(path: Path) -> str:
    """The layer of labels: the only one with geometry, or ``labels``, as `geoseg labels` writes it."""
    layers = [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None]
    if len(layers) > 1 and LAYER not in layers:
        raise SettingsError(
            f"{path} has the layers {', '.join(layers)}. Save the labels as the layer {LAYER}, or alone in a file."
        )
    return layers[0] if len(layers) == 1 else LAYER


def draw(polygons: PlacedPolygons, tree: shapely.STRtree, grid: Grid, window: Window) -> NDArray[np.int16]:
    """Draw polygons as pixels: a pixel takes the class of the polygon that holds its middle, of the last if several do.

    Returns:
        int16, shape of the window; 255 for ``ignore``, -1 outside all.
    """
    transform = rasterio.Affine(*grid.transform) @ rasterio.Affine.translation(window.col, window.row)
    inside = np.sort(tree.query(outline_of(grid, window)))
    if not len(inside):
        return np.full(window.shape, NO_LABEL, np.int16)
    shapes = [(polygons.geometry[place], int(polygons.ids[place])) for place in inside]
    with without_georeference_warning:  # rasterio suppresses it too, by filters that belong to all threads
        drawn: NDArray[np.int16] = rasterio.features.rasterize(
            shapes, out_shape=window.shape, fill=NO_LABEL, transform=transform, dtype=np.int16
        )
    return drawn


def outline_of(grid: Grid, window: Window | None = None) -> shapely.Polygon:
    """Outline of a grid or of a window of it, in its CRS, with points along its edges."""
    (row, row_stop), (col, col_stop) = (window or grid.window).ranges
    steps = np.linspace(0, 1, _EDGES, endpoint=False)[:, None]
    corners = np.array([(col, row), (col_stop, row), (col_stop, row_stop), (col, row_stop), (col, row)], np.float64)
    edges = [start + steps * (stop - start) for start, stop in pairwise(corners)]
    return shapely.Polygon(grid.to_crs(np.concatenate(edges)))


def _plain(value: Any) -> Value:
    """A value of a column as Python's own int or str."""
    return int(value) if isinstance(value, int | np.integer | float) and value == value // 1 else str(value)
