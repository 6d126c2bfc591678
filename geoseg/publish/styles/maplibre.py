"""Styles of MapLibre for vector tiles: https://maplibre.org/maplibre-style-spec/."""

import json
from typing import Any

from geoseg.grid.legend import Legend
from geoseg.publish.styles.qml import CLASS_COLUMN, FILL_OPACITY

OTHER = "#808080"
"""Colour of a class that is not in the legend."""


def map_style(legend: Legend, tiles: str, layer: str) -> bytes:
    """The style of a map that shows the polygons of a PMTiles file; needs no other server, font or picture.

    Args:
        legend: Names and colours.
        tiles: The file, relative to the style.
        layer: Name of its layer.
    """
    color: list[Any] = ["match", ["get", CLASS_COLUMN]]
    for entry in legend.classes:
        color += [entry.name, "#" + bytes(entry.color).hex()]
    color.append(OTHER)
    style = {
        "version": 8,
        "name": layer,
        "metadata": {"geoseg:legend": {entry.name: "#" + bytes(entry.color).hex() for entry in legend.classes}},
        "sources": {"polygons": {"type": "vector", "url": f"pmtiles://{tiles}"}},
        "layers": [
            {"id": "background", "type": "background", "paint": {"background-color": "#ffffff"}},
            {
                "id": "fill",
                "type": "fill",
                "source": "polygons",
                "source-layer": layer,
                "paint": {"fill-color": color, "fill-opacity": FILL_OPACITY},
            },
            {
                "id": "outline",
                "type": "line",
                "source": "polygons",
                "source-layer": layer,
                "minzoom": 10,
                "paint": {"line-color": color, "line-width": 0.75},
            },
        ],
    }
    return json.dumps(style, indent=1, ensure_ascii=False).encode() + b"\n"
