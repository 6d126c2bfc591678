"""Turn large GeoTIFFs into land-use polygons on a Ray cluster, without a seam, a gap or a lost pixel."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Settings", "load_settings", "polygonize", "read_polygons", "segment"]

if TYPE_CHECKING:
    from geoseg.config import Settings, load_settings
    from geoseg.polygonizer.array import polygonize
    from geoseg.publish.geoparquet import read_polygons
    from geoseg.run.segment import segment

_HOMES = {
    "Settings": "geoseg.config",
    "load_settings": "geoseg.config",
    "polygonize": "geoseg.polygonizer.array",
    "read_polygons": "geoseg.publish.geoparquet",
    "segment": "geoseg.run.segment",
}


def __getattr__(name: str) -> Any:
    """Import the public names when they are first used: `import geoseg` alone must not load torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'geoseg' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """What completion shows: the public names, none of which is imported yet."""
    return sorted([*__all__, "__version__"])
