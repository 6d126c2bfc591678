"""Turn large GeoTIFFs into land-use polygons on a Ray cluster, without a seam, a gap or a lost pixel."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Settings", "load_settings", "polygonize", "read_polygons", "segment"]

if TYPE_CHECKING:
    from geoseg.config import Settings, load_settings
    from geoseg.polygonizer.array import polygonize
    from geoseg.publish.geoparquet import read_polygons
    from geoseg.run.segment import segment

_MODULES = {
    "Settings": "geoseg.config",
    "load_settings": "geoseg.config",
    "polygonize": "geoseg.polygonizer.array",
    "read_polygons": "geoseg.publish.geoparquet",
    "segment": "geoseg.run.segment",
}


def __getattr__(name: str) -> Any:
    """Import public names on first use, so that `import geoseg` does not load torch."""
    if name not in _MODULES:
        raise AttributeError(f"module 'geoseg' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    """The public names, for completion; they need not be imported yet."""
    return sorted([*__all__, "__version__"])
