"""STAC Items of files, for tests."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rasterio


def write_item(path: Path, assets: Mapping[str, dict[str, Any]], *, stated: bool = True, **properties: Any) -> Path:
    """Write an Item whose assets have the given properties, ``href`` among them.

    Args:
        path: The Item's file; its stem is the id.
        assets: By key.
        stated: State the grid of each asset, read from its file beside the Item.
        properties: Of the Item.
    """
    listed = {}
    for key, asset in assets.items():
        own: dict[str, Any] = {"type": "image/tiff; application=geotiff", "roles": ["data"], **asset}
        if stated:
            with rasterio.open(path.parent / asset["href"]) as dataset:
                own["proj:shape"], own["proj:transform"] = list(dataset.shape), list(dataset.transform)[:6]
                properties.setdefault("proj:code", f"EPSG:{dataset.crs.to_epsg()}")
        listed[key] = own
    item = {
        "type": "Feature", "stac_version": "1.1.0", "id": path.stem, "geometry": None, "links": [],
        "properties": {"datetime": "2024-06-21T10:30:00Z", **properties}, "assets": listed,
    }  # fmt: skip
    path.write_text(json.dumps(item))
    return path
