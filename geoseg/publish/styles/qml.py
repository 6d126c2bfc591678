"""Styles of QGIS 3: exactly the classes of a legend, with their names and colours."""

from collections.abc import Mapping
from xml.etree import ElementTree as ET
from xml.etree.ElementTree import Element, SubElement

from geoseg.grid.legend import Legend

VERSION = "3.22.0"
"""The oldest QGIS that is tested; later ones read its styles."""
CLASS_COLUMN = "class_name"
"""The column of the polygons that decides their colour: unlike an id, a name means the same in all scenes."""
FILL_OPACITY = 0.55
OUTLINE_DARKER = 0.6


def raster_qml(legend: Legend) -> bytes:
    """The style of a class map: one entry for each class. QGIS loads ``classes.qml`` together with ``classes.tif``."""
    root = Element("qgis", version=VERSION, styleCategories="Symbology")
    root.append(raster_pipe(legend))
    return document(root)


def polygon_qml(legend: Legend) -> bytes:
    """The style of polygons with the column `CLASS_COLUMN`."""
    root = Element("qgis", version=VERSION, styleCategories="Symbology")
    root.append(polygon_renderer(legend))
    return document(root)


def label_qml(legend: Legend) -> bytes:
    """The style of labels to correct: as `polygon_qml`, and the form offers the classes in a list."""
    root = Element("qgis", version=VERSION, styleCategories="Symbology|Fields|Forms")
    root.append(polygon_renderer(legend))
    field = SubElement(SubElement(root, "fieldConfiguration"), "field", name=CLASS_COLUMN)
    config = SubElement(SubElement(field, "editWidget", type="ValueMap"), "config")
    choices = SubElement(SubElement(config, "Option", type="Map"), "Option", name="map", type="List")
    for entry in legend.classes:
        choice = SubElement(choices, "Option", type="Map")
        SubElement(choice, "Option", name=entry.name, type="QString", value=entry.name)
    return document(root)


def outline_qml() -> bytes:
    """The style of windows: a red outline without filling."""
    root = Element("qgis", version=VERSION, styleCategories="Symbology")
    renderer = SubElement(root, "renderer-v2", type="singleSymbol", enableorderby="0", symbollevels="0")
    symbol = SubElement(SubElement(renderer, "symbols"), "symbol", type="fill", name="0", alpha="1")
    line = {"line_color": "220,30,30,255", "line_width": "0.6", "line_width_unit": "MM", "line_style": "solid"}
    _add_layer(symbol, "SimpleLine", line)
    return document(root)


def raster_pipe(legend: Legend) -> Element:
    """The ``pipe`` element of a class map, in a style or a project."""
    pipe = Element("pipe")
    renderer = SubElement(pipe, "rasterrenderer", type="paletted", band="1", opacity="1", alphaBand="-1")
    SubElement(renderer, "rasterTransparency")
    palette = SubElement(renderer, "colorPalette")
    for entry in legend.classes:
        color = "#" + bytes(entry.color).hex()
        SubElement(palette, "paletteEntry", value=str(entry.id), color=color, alpha="255", label=entry.name)
    return pipe


def polygon_renderer(legend: Legend) -> Element:
    """The ``renderer-v2`` element of polygons, in a style or a project."""
    renderer = Element("renderer-v2", type="categorizedSymbol", attr=CLASS_COLUMN, enableorderby="0", symbollevels="0")
    categories, symbols = SubElement(renderer, "categories"), SubElement(renderer, "symbols")
    for number, entry in enumerate(legend.classes):
        SubElement(categories, "category", symbol=str(number), value=entry.name, label=entry.name, render="true")
        symbol = SubElement(symbols, "symbol", type="fill", name=str(number), alpha="1", clip_to_extent="1")
        red, green, blue = entry.color
        darker = [round(part * OUTLINE_DARKER) for part in entry.color]
        options = {
            "color": f"{red},{green},{blue},{round(FILL_OPACITY * 255)}",
            "style": "solid",
            "outline_color": f"{darker[0]},{darker[1]},{darker[2]},255",
            "outline_style": "solid",
            "outline_width": "0.15",
            "outline_width_unit": "MM",
        }
        _add_layer(symbol, "SimpleFill", options)
    return renderer


def _add_layer(symbol: Element, kind: str, options: Mapping[str, str]) -> None:
    layer = SubElement(symbol, "layer", {"class": kind, "enabled": "1", "locked": "0", "pass": "0"})
    mapping = SubElement(layer, "Option", type="Map")
    for name, value in options.items():
        SubElement(mapping, "Option", name=name, type="QString", value=value)


def document(root: Element) -> bytes:
    """An XML file of QGIS."""
    ET.indent(root, " ")
    content: bytes = ET.tostring(root, "utf-8")
    return b"<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n" + content + b"\n"
