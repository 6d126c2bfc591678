"""The grid of a raster file: its size, transform and CRS."""

import warnings
from functools import lru_cache

from rasterio.crs import CRS
from rasterio.errors import CRSError, NotGeoreferencedWarning
from rasterio.io import DatasetReader

from geoseg.config import SceneSettings
from geoseg.errors import SceneError, SettingsError
from geoseg.grid.window import Grid
from geoseg.raster.source.env import gdal_env

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
"""The transform of a raster that has none."""
_GDAL_IDENTITY = (0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def read_grid(dataset: DatasetReader, path: str, settings: SceneSettings) -> Grid:
    """Read the size and the georeference of an open raster.

    Args:
        dataset: The raster.
        path: Its name, for messages.
        settings: ``assume_crs`` and ``allow_ungeoreferenced`` apply to a raster without a CRS or a transform.

    Raises:
        SceneError: If it has none, and the settings do not allow that.
        SettingsError: If ``assume_crs`` is not a CRS.
    """
    assume_crs = settings.assume_crs
    transform = tuple(dataset.transform)[:6]
    crs = _wkt2(dataset.crs) if dataset.crs else ""
    if not settings.allow_ungeoreferenced:
        if transform == IDENTITY and (dataset.gcps[0] or dataset.rpcs):
            what = f"{len(dataset.gcps[0])} ground control points" if dataset.gcps[0] else "rational polynomials (RPCs)"
            option = "-tps" if dataset.gcps[0] else "-rpc"
            raise SceneError(
                f"{path} is located by {what} alone. Rectify it first: gdalwarp {option} -t_srs EPSG:nnnn IN OUT."
            )
        if not crs and assume_crs is None:
            raise SceneError(
                f"{path} names no coordinate reference system. Set scene.assume_crs (such as EPSG:32633) if you know "
                "it, or scene.allow_ungeoreferenced for a class map without areas."
            )
        if not _has_transform(dataset) and assume_crs is None:
            raise SceneError(
                f"{path} has a CRS but no transform, so its place is unknown. Add a world file, or set "
                "scene.allow_ungeoreferenced for a class map without areas."
            )
    if not crs and assume_crs is not None:
        try:
            crs = _wkt2(CRS.from_user_input(assume_crs))
        except CRSError as error:
            raise SettingsError(
                f"scene.assume_crs={assume_crs!r} is not a coordinate reference system. Use EPSG:nnnn or WKT."
            ) from error
    try:
        return Grid(dataset.height, dataset.width, transform, crs)
    except ValueError as error:
        raise SceneError(
            f"{path} has a georeference that cannot be used. {error} "
            "Fetch it again, or correct it: gdal_edit.py -a_ullr ULX ULY LRX LRY FILE."
        ) from error


@lru_cache(maxsize=256)
def _wkt2(crs: CRS) -> str:
    """WKT 2 of a CRS. All files of a CRS share one text, which matters for a mosaic of thousands."""
    with gdal_env():
        return str(crs.to_wkt(version="WKT2_2019"))


def _has_transform(dataset: DatasetReader) -> bool:
    """Return whether the file has a transform; a pixel size without a position does not count."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", NotGeoreferencedWarning)
        try:
            return tuple(dataset.read_transform()) != _GDAL_IDENTITY
        except NotGeoreferencedWarning:
            return False
