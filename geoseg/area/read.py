"""Read an area of interest: the polygons of a vector file, or a bbox."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import shapely
from pyproj import CRS
from pyproj.exceptions import CRSError

from geoseg.area.polygon_parts import polygon_parts
from geoseg.errors import SettingsError
from geoseg.raster.source.address import is_prefixed

if TYPE_CHECKING:  # its import takes a second
    from geopandas import GeoDataFrame

BBOX_CRS = "EPSG:4326"
"""CRS of a bbox by default: longitude before latitude."""
_NAMES_DATA = b"<OGR"
"""First bytes of files that only name other data, such as services: <OGRVRTDataSource>, <OGRWFSDataSource>."""
FORMATS = "GeoJSON, GeoPackage, Shapefile, FlatGeobuf or GeoParquet"


@dataclass(frozen=True, slots=True)
class AreaOfInterest:
    """Polygons that do not overlap, in their own CRS, x before y."""

    source: str
    """The file or the bbox, for messages."""
    geometry: shapely.Geometry
    """Polygon or MultiPolygon."""
    crs: CRS
    warnings: tuple[str, ...] = ()


def read_area(given: str | Sequence[float], crs: str | None) -> AreaOfInterest:
    """Read ``scene.aoi``.

    Args:
        given: A file, ``FILE#LAYER``, or xmin, ymin, xmax, ymax.
        crs: ``scene.aoi_crs``: of a file without a CRS, or of a bbox; the default of a bbox is `BBOX_CRS`.

    Raises:
        SettingsError: If the file is missing or cannot be read, holds several layers or no polygon, or lacks a CRS; if
            the bbox is empty, or the CRS is unknown.
    """
    if not isinstance(given, str):
        return _from_bbox(given, _crs(crs or BBOX_CRS))
    frame = _read(given)
    stated = None if crs is None else _crs(crs)
    own = stated if frame.crs is None else CRS.from_user_input(frame.crs)
    if own is None:
        raise SettingsError(
            f"The area of interest {given} has no CRS, so it has no place on a scene. Set scene.aoi_crs to its CRS, "
            "such as EPSG:4326 for longitude and latitude."
        )
    if stated is not None and not own.equals(stated, ignore_axis_order=True):
        raise SettingsError(f"The area of interest {given} is in {own.name}, and scene.aoi_crs={crs}. Leave that out.")
    geometry = np.asarray(frame.geometry.values)
    geometry = geometry[~(shapely.is_missing(geometry) | shapely.is_empty(geometry))]
    if not np.isfinite(shapely.bounds(geometry)).all():
        raise SettingsError(f"The area of interest {given} has coordinates that are not finite. Correct the file.")
    parts, of = polygon_parts(shapely.force_2d(geometry))
    if not len(parts):
        kinds = ", ".join(sorted({one.geom_type for one in geometry})) or "no feature"
        raise SettingsError(f"The area of interest {given} holds no polygon but {kinds}. Give polygons.")
    others = len(geometry) - len(np.unique(of))
    ignored = (f"{given}: {others} of {len(geometry)} features of the area of interest are no polygons and ignored.",)
    return AreaOfInterest(given, shapely.union_all(parts), own, ignored if others else ())


def _from_bbox(bbox: Sequence[float], crs: CRS) -> AreaOfInterest:
    west, south, east, north = bbox
    text = ",".join(f"{value:g}" for value in bbox)
    # Across the antimeridian west is larger, as in GeoJSON and STAC.
    crosses = crs.is_geographic and -180 <= east < west <= 180
    if not south < north or not (west < east or crosses):
        raise SettingsError(
            f"The area of interest {text} is empty. Give xmin,ymin,xmax,ymax"
            f"{': longitude before latitude' if crs.is_geographic else ''}."
        )
    return AreaOfInterest(f"{text} ({crs.name})", shapely.box(west, south, east + 360 * crosses, north), crs)


def _crs(text: str) -> CRS:
    try:
        return CRS.from_user_input(text)
    except CRSError as error:
        raise SettingsError(f"scene.aoi_crs={text} is no CRS that PROJ knows. Use a code such as EPSG:4326.") from error


def _read(given: str) -> "GeoDataFrame":
    import geopandas  # noqa: PLC0415

    file, _, layer = (given, "", "") if Path(given).exists() else given.rpartition("#")
    path = Path(file or given)
    if is_prefixed(str(path)) or not path.exists():
        raise SettingsError(
            f"The area of interest {given} does not exist. Give a vector file on this machine ({FORMATS}), "
            f"FILE#LAYER, or a bbox xmin,ymin,xmax,ymax in {BBOX_CRS} or scene.aoi_crs."
        )
    try:
        if path.suffix.lower().endswith("parquet"):
            frame = geopandas.read_parquet(path)
        else:
            name = _layer(path, layer or None)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of measures and odd types of columns, which do not matter here
                frame = geopandas.read_file(path, layer=name)
    except Exception as error:  # each driver has errors of its own
        raise SettingsError(
            f"The area of interest {given} cannot be read: {error}. Supported are {FORMATS}."
        ) from error
    if not isinstance(frame, geopandas.GeoDataFrame):
        raise SettingsError(f"The area of interest {given} holds no geometries. Supported are {FORMATS}.")
    return frame


def _layer(path: Path, layer: str | None) -> str:
    """The given layer, or the only one with geometries."""
    import pyogrio  # noqa: PLC0415

    if path.is_file():
        with path.open("rb") as stream:
            if stream.read(len(_NAMES_DATA)) == _NAMES_DATA:
                raise ValueError("it names data elsewhere; give the file that holds the polygons")
    names = [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None]
    if layer is not None and layer not in names:
        raise ValueError(f"it has no layer {layer}, but {', '.join(names) or 'none'}")
    if layer is None and len(names) != 1:
        raise ValueError(f"it holds the layers {', '.join(names)}; give {path}#LAYER" if names else "it holds no layer")
    return layer or names[0]
