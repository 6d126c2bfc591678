"""A project of QGIS 3 that shows scenes, class maps and polygons with their styles; all paths in it are relative.

The file is a zip with one ``.qgs``, an XML document. Only what QGIS needs to open it is written: QGIS adds the rest
when it saves the project.
"""

import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement

import numpy as np
import shapely
from pyproj import CRS, Transformer

from geoseg.errors import GeosegError
from geoseg.grid.legend import NODATA_CLASS, Legend
from geoseg.grid.window import Grid
from geoseg.publish.styles.qml import VERSION, document, polygon_renderer, raster_pipe
from geoseg.raster.band_names import bands_named
from geoseg.raster.maps.class_map import class_map_grid, class_map_legend
from geoseg.raster.source.scene import describe
from geoseg.raster.thumbnail import STRETCH_PERCENTILES, read_thumbnail

SAMPLE_PX = 512
"""Side of the thumbnail from which the contrast of a scene is taken."""
POLYGONS = "polygons_of_all_scenes"
"""Id of a layer. QGIS replaces an id of 10 characters or fewer by one of its own."""
_STAMP = (1980, 1, 1, 0, 0, 0)
"""Time of the file in the zip: equal projects have equal bytes."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of the project."""

    id: str
    name: str
    element: Element
    grid: Grid | None
    """Extent of a raster."""
    shown: bool = True
    """Whether it is visible when the project is opened."""


def polygon_layer(file: str, table: str, legend: Legend, crs: CRS) -> Layer:
    """Polygons of a GeoPackage beside the project."""
    element = _layer("vector", POLYGONS, "polygons", f"./{file}|layername={table}", "ogr", crs)
    element.set("geometry", "Polygon")
    element.append(polygon_renderer(legend))
    return Layer(POLYGONS, "polygons", element, None)


def class_layer(scene: str, path: Path, home: Path, *, shown: bool) -> Layer:
    """The class map of a scene; ``home`` is the folder of the project."""
    grid = class_map_grid(path)
    element = _layer("raster", f"class_map_of_{scene}", f"{scene}: classes", _relative(path, home), "gdal", _crs(grid))
    element.append(raster_pipe(class_map_legend(path)))
    _no_data(element, NODATA_CLASS)
    return Layer(f"class_map_of_{scene}", f"{scene}: classes", element, grid, shown)


def scene_layer(scene: str, path: Path, home: Path) -> Layer | None:
    """The scene itself in natural colours, else its first bands; None if it cannot be read any more."""
    try:
        described = describe(str(path))
    except GeosegError:
        return None
    bands = tuple(bands_named(described, ("red", "green", "blue")) or range(1, min(3, described.bands) + 1))
    if len(bands) == 2:
        bands = bands[:1]
    element = _layer("raster", f"pixels_of_{scene}", scene, _relative(path, home), "gdal", _crs(described.grid))
    pixels = read_thumbnail(path, bands, described.grid.window, SAMPLE_PX)
    nodata = [described.nodata[band - 1] for band in bands]
    pipe = SubElement(element, "pipe")
    kind = "multibandcolor" if len(bands) == 3 else "singlebandgray"
    renderer = SubElement(pipe, "rasterrenderer", type=kind, opacity="1", alphaBand="-1")
    names = ("red", "green", "blue") if len(bands) == 3 else ("gray",)
    for name, band, values, gap in zip(names, bands, pixels, nodata, strict=True):
        renderer.set(f"{name}Band", str(band))
        valid = values[np.isfinite(values) & (values != gap)] if gap is not None else values[np.isfinite(values)]
        low, high = np.percentile(valid, STRETCH_PERCENTILES) if valid.size else (0, 1)
        contrast = SubElement(renderer, f"{name}ContrastEnhancement" if len(bands) == 3 else "contrastEnhancement")
        SubElement(contrast, "minValue").text = f"{low:g}"
        SubElement(contrast, "maxValue").text = f"{max(high, low + 1e-6):g}"
        SubElement(contrast, "algorithm").text = "StretchToMinimumMaximum"
    return Layer(f"pixels_of_{scene}", scene, element, described.grid)


def write_project(path: Path, title: str, layers: Sequence[Layer], crs: CRS) -> None:
    """Write the project.

    Args:
        path: The file, ``.qgz``.
        title: Its title.
        layers: The layers, the uppermost first.
        crs: CRS of the map.
    """
    root = Element("qgis", version=VERSION, projectname=title)
    SubElement(root, "title").text = title
    root.append(_spatial_reference("projectCrs", crs))
    tree = SubElement(root, "layer-tree-group")
    order = SubElement(tree, "custom-order", enabled="0")
    for layer in layers:
        SubElement(order, "item").text = layer.id
        checked = "Qt::Checked" if layer.shown else "Qt::Unchecked"
        SubElement(tree, "layer-tree-layer", id=layer.id, name=layer.name, checked=checked, expanded="1")
    canvas = SubElement(root, "mapcanvas", name="theMapCanvas")
    SubElement(canvas, "units").text = "degrees" if crs.is_geographic else "meters"
    extent = SubElement(canvas, "extent")
    box = _extent([layer.grid for layer in layers if layer.grid is not None], crs)
    for name, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True):
        SubElement(extent, name).text = repr(value)
    canvas.append(_spatial_reference("destinationsrs", crs))
    maps = SubElement(root, "projectlayers")
    maps.extend(layer.element for layer in layers)
    properties = SubElement(root, "properties")
    # Without this QGIS ignores the CRS of the project.
    SubElement(SubElement(properties, "SpatialRefSys"), "ProjectionsEnabled", type="int").text = "1"
    SubElement(SubElement(properties, "Paths"), "Absolute", type="bool").text = "false"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(f"{path.stem}.qgs", _STAMP), document(root), zipfile.ZIP_DEFLATED)


def _layer(kind: str, layer_id: str, name: str, source: str, provider: str, crs: CRS) -> Element:
    element = Element("maplayer", type=kind, hasScaleBasedVisibilityFlag="0")
    for tag, text in (("id", layer_id), ("datasource", source), ("layername", name), ("provider", provider)):
        SubElement(element, tag).text = text
    element.append(_spatial_reference("srs", crs))
    return element


def _no_data(element: Element, value: int) -> None:
    bands = SubElement(SubElement(element, "noData"), "noDataList", bandNo="1", useSrcNoData="1")
    SubElement(bands, "noDataRange", min=str(value), max=str(value))


def _spatial_reference(tag: str, crs: CRS) -> Element:
    element = Element(tag)
    system = SubElement(element, "spatialrefsys")
    SubElement(system, "wkt").text = crs.to_wkt()
    authority = crs.to_authority()
    if authority is not None:
        SubElement(system, "authid").text = ":".join(authority)
    return element


def _extent(grids: Sequence[Grid], crs: CRS) -> tuple[float, ...]:
    """Box around rasters in the CRS of the map."""
    boxes = []
    for grid in grids:
        corners = shapely.box(0, 0, grid.width, grid.height)
        a, b, c, d, e, f = grid.transform
        points = shapely.get_coordinates(corners) @ np.array([[a, d], [b, e]]) + (c, f)
        transformer = Transformer.from_crs(_crs(grid), crs, always_xy=True)
        boxes.append(transformer.transform_bounds(*points.min(0), *points.max(0)))
    low, high = np.min([box[:2] for box in boxes], 0), np.max([box[2:] for box in boxes], 0)
    return (*(float(value) for value in low), *(float(value) for value in high))


def _crs(grid: Grid) -> CRS:
    return CRS.from_wkt(grid.crs)


def _relative(path: Path, home: Path) -> str:
    relative = os.path.relpath(path, home)
    return relative if relative.startswith("..") else f"./{relative}"
