"""Labels on the grid of a class map: rasters and polygons, several files as one."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import rasterio.features
import rasterio.warp
import shapely
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import RasterioIOError
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterioWindow

from geoseg.errors import SceneError, SettingsError
from geoseg.evaluate.class_mapping import OTHERS, ClassMapping, Value
from geoseg.grid.legend import NODATA_CLASS
from geoseg.grid.window import Grid, Window
from geoseg.raster.class_map import NAME_TAG
from geoseg.raster.source.env import open_raster

RASTERS = (".tif", ".tiff", ".img", ".png", ".jp2")
"""Suffixes of label rasters; all other files are read as polygons."""
_SAME_PLACE_PX = 1e-3
"""Grids that differ by less are the same."""
_IDENTITY = (1, 0, 0, 0, 1, 0)

ReadLabels = Callable[[Window], NDArray[np.uint8]]
"""Reads compared class ids of a window of a class map, shape of the window; 255 where there is no label."""


@dataclass(frozen=True, slots=True)
class LabelPolygons:
    """Polygons with the value of their class."""

    source: str
    frame: geopandas.GeoDataFrame
    """Valid polygons, with a CRS."""
    values: tuple[Value, ...]
    """Number or name of the class of each polygon; `OTHERS` if the file tells none."""

    def ids(self, mapping: ClassMapping) -> NDArray[np.uint8]:
        """Compared class of each polygon, shape (N,); 255 for none. Errors as of `ClassMapping.label_ids`."""
        unique = list(dict.fromkeys(self.values))
        targets = dict(zip(unique, mapping.label_ids(unique, self.source, {}), strict=True))
        return np.array([targets[value] for value in self.values], np.uint8)


def read_label_polygons(path: Path, column: str | None) -> LabelPolygons:
    """Read polygons and their classes; repair invalid ones.

    Args:
        path: GeoParquet, GeoPackage, GeoJSON, Shapefile or FlatGeobuf.
        column: Column with numbers or names of classes; by default ``class_name``, or none if the file has no columns.

    Raises:
        SettingsError: If the file cannot be read, has no CRS, or the column is missing.
    """
    try:
        frame = geopandas.read_parquet(path) if path.suffix == ".parquet" else geopandas.read_file(path)
    except Exception as error:  # each driver has errors of its own
        raise SettingsError(f"{path} cannot be read as polygons: {error}") from error
    if frame.crs is None:
        raise SettingsError(f"{path} has no CRS, so its polygons have no place on the class map.")
    columns = [str(name) for name in frame.columns if name != frame.geometry.name]
    chosen = column or ("class_name" if "class_name" in columns else None)
    if chosen is not None and chosen not in columns:
        raise SettingsError(f"{path} has no column {chosen}; it has {', '.join(columns) or 'none'}.")
    frame = frame[~(frame.geometry.isna() | frame.geometry.is_empty)]
    frame = frame.set_geometry(shapely.make_valid(frame.geometry.values), crs=frame.crs)
    values = [OTHERS] * len(frame) if chosen is None else [_plain(value) for value in frame[chosen]]
    return LabelPolygons(str(path), frame, tuple(values))


@contextmanager
def open_labels(sources: Sequence[Path | LabelPolygons], grid: Grid, mapping: ClassMapping) -> Iterator[ReadLabels]:
    """Open labels on the grid of a class map. Where several hold a label, the first one counts.

    Args:
        sources: Label rasters and label polygons.
        grid: Grid of the class map.
        mapping: The compared classes.

    Raises:
        SceneError: If a raster cannot be read, now or later.
        SettingsError: If a value stands for no class, now or later.
    """
    with ExitStack() as stack:
        readers = [
            _polygon_reader(source, grid, mapping)
            if isinstance(source, LabelPolygons)
            else stack.enter_context(_open_raster_labels(source, grid, mapping))
            for source in sources
        ]
        yield partial(_first_label, readers)


def _first_label(readers: Sequence[ReadLabels], window: Window) -> NDArray[np.uint8]:
    ids = np.full(window.shape, NODATA_CLASS, np.uint8)
    for read in readers:
        missing = ids == NODATA_CLASS
        ids[missing] = read(window)[missing]
    return ids


@contextmanager
def _open_raster_labels(path: Path, grid: Grid, mapping: ClassMapping) -> Iterator[ReadLabels]:
    try:
        with open_raster(str(path), OVERVIEW_LEVEL="NONE") as dataset, _on_grid(dataset, grid) as placed:
            if dataset.count != 1:
                raise SettingsError(f"{path} has {dataset.count} bands; labels have one, of class numbers.")
            tags = {key.removeprefix(NAME_TAG): name for key, name in dataset.tags().items()}
            known = {int(key): name for key, name in tags.items() if key.removeprefix("-").isdecimal()}
            yield partial(_read_raster, placed, path, mapping, known)
    except RasterioIOError as error:
        raise SceneError(f"{path} cannot be read ({error}). Check the file, or fetch it again.") from error


def _read_raster(
    dataset: DatasetReader, path: Path, mapping: ClassMapping, known: dict[int, str], window: Window
) -> NDArray[np.uint8]:
    place = RasterioWindow(window.col, window.row, window.width, window.height)
    values, labelled = dataset.read(1, window=place), dataset.read_masks(1, window=place) != 0
    if values.dtype.kind == "f":
        labelled &= np.isfinite(values)
    ids = np.full(window.shape, NODATA_CLASS, np.uint8)
    unique, place_of = np.unique(values[labelled], return_inverse=True)
    fractions = [value for value in unique.tolist() if value != int(value)]
    if fractions:
        raise SettingsError(f"{path} holds {fractions[0]}; labels are whole numbers of classes.")
    targets = mapping.label_ids([int(value) for value in unique], str(path), known)
    ids[labelled] = np.array(targets, np.uint8)[place_of]
    return ids


@contextmanager
def _on_grid(dataset: DatasetReader, grid: Grid) -> Iterator[DatasetReader]:
    """The raster on a grid: itself if it has the same pixels or no georeference, else its nearest pixels."""
    to_grid = ~rasterio.Affine(*grid.transform) @ dataset.transform
    same = dataset.crs == CRS.from_user_input(grid.crs) and np.allclose(
        to_grid[:6], _IDENTITY, rtol=0, atol=_SAME_PLACE_PX
    )
    if dataset.shape == grid.window.shape and (same or dataset.crs is None):
        yield dataset
        return
    if dataset.crs is None:
        raise SettingsError(
            f"{dataset.name} has no CRS and {dataset.height} x {dataset.width} pixels, the class map has "
            f"{grid.height} x {grid.width}. Give labels of the same size, or with a CRS."
        )
    with WarpedVRT(
        dataset,
        crs=grid.crs,
        transform=rasterio.Affine(*grid.transform),
        height=grid.height,
        width=grid.width,
        resampling=rasterio.warp.Resampling.nearest,
        add_alpha=dataset.nodata is None,
    ) as placed:
        yield placed


def _polygon_reader(polygons: LabelPolygons, grid: Grid, mapping: ClassMapping) -> ReadLabels:
    geometry = np.asarray(polygons.frame.geometry.to_crs(grid.crs).values)
    ids, outside = polygons.ids(mapping), mapping.id_of(mapping.outside)
    return partial(_rasterize, geometry, ids, shapely.STRtree(geometry), grid, outside)


def _rasterize(
    geometry: NDArray[Any], ids: NDArray[np.uint8], tree: shapely.STRtree, grid: Grid, outside: int, window: Window
) -> NDArray[np.uint8]:
    """Pixels take the class of the polygon that holds their middle; of the last one, if several do."""
    transform = rasterio.Affine(*grid.transform) @ rasterio.Affine.translation(window.col, window.row)
    rows, cols = (window.row, window.row_stop), (window.col, window.col_stop)
    corners = np.array([(cols[0], rows[0]), (cols[1], rows[0]), (cols[1], rows[1]), (cols[0], rows[1])], np.float64)
    inside = np.sort(tree.query(shapely.Polygon(grid.to_crs(corners))))
    if not len(inside):
        return np.full(window.shape, outside, np.uint8)
    shapes = [(geometry[place], int(ids[place])) for place in inside]
    burnt: NDArray[np.uint8] = rasterio.features.rasterize(
        shapes, out_shape=window.shape, fill=outside, transform=transform, dtype=np.uint8
    )
    return burnt


def _plain(value: Any) -> Value:
    """A value of a column as Python's own int or str."""
    return int(value) if isinstance(value, int | np.integer | float) and value == int(value) else str(value)
