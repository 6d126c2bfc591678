"""Styled Layer Descriptors 1.0.0 of the OGC, for GeoServer, MapServer and QGIS."""

from xml.etree import ElementTree as ET
from xml.etree.ElementTree import Element, SubElement

from geoseg.grid.legend import NODATA_CLASS, Legend
from geoseg.publish.styles.qml import CLASS_COLUMN, FILL_OPACITY

SLD, OGC = "http://www.opengis.net/sld", "http://www.opengis.net/ogc"


def raster_sld(legend: Legend) -> bytes:
    """The style of a class map: an entry for each class, nodata transparent."""
    root, rules = _style("classes")
    colors = SubElement(SubElement(SubElement(rules, "Rule"), "RasterSymbolizer"), "ColorMap", type="values")
    for entry in legend.classes:
        SubElement(
            colors, "ColorMapEntry", color=_hex(entry.color), quantity=str(entry.id), label=entry.name, opacity="1"
        )
    SubElement(colors, "ColorMapEntry", color="#000000", quantity=str(NODATA_CLASS), label="nodata", opacity="0")
    return _document(root)


def polygon_sld(legend: Legend, layer: str) -> bytes:
    """The style of a layer of polygons: a rule for each class."""
    root, rules = _style(layer)
    for entry in legend.classes:
        rule = SubElement(rules, "Rule")
        SubElement(rule, "Name").text = entry.name
        equal = SubElement(SubElement(rule, "ogc:Filter"), "ogc:PropertyIsEqualTo")
        SubElement(equal, "ogc:PropertyName").text = CLASS_COLUMN
        SubElement(equal, "ogc:Literal").text = entry.name
        polygon = SubElement(rule, "PolygonSymbolizer")
        fill, stroke = SubElement(polygon, "Fill"), SubElement(polygon, "Stroke")
        for parent, name, value in (
            (fill, "fill", _hex(entry.color)),
            (fill, "fill-opacity", f"{FILL_OPACITY:g}"),
            (stroke, "stroke", _hex(entry.color)),
            (stroke, "stroke-width", "0.5"),
        ):
            SubElement(parent, "CssParameter", name=name).text = value
    return _document(root)


def outline_sld(layer: str) -> bytes:
    """The style of a layer of windows: a red outline without filling."""
    root, rules = _style(layer)
    stroke = SubElement(SubElement(SubElement(rules, "Rule"), "PolygonSymbolizer"), "Stroke")
    for name, value in (("stroke", "#dc1e1e"), ("stroke-width", "2")):
        SubElement(stroke, "CssParameter", name=name).text = value
    return _document(root)


def _style(layer: str) -> tuple[Element, Element]:
    """The root element, and the element for the rules of a layer."""
    root = Element("StyledLayerDescriptor", {"version": "1.0.0", "xmlns": SLD, "xmlns:ogc": OGC})
    named = SubElement(root, "NamedLayer")
    SubElement(named, "Name").text = layer
    return root, SubElement(SubElement(named, "UserStyle"), "FeatureTypeStyle")


def _hex(color: tuple[int, int, int]) -> str:
    return "#" + bytes(color).hex()


def _document(root: Element) -> bytes:
    ET.indent(root, " ")
    content: bytes = ET.tostring(root, "utf-8")
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + content + b"\n"
