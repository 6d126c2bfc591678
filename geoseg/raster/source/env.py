"""Open rasters: one set of GDAL options, one list of formats, no handle shared by threads or processes."""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioIOError
from rasterio.io import DatasetReader

from geoseg.raster.source.shared_context import SharedContext

CACHE_BYTES = 64 << 20
"""GDAL's cache of decoded tiles per process. Its default is 5 % of the memory, in each worker."""

PLAIN_DRIVERS = (
    *("GTiff", "JP2OpenJPEG", "HFA", "ENVI", "EHdr", "ERS", "NITF"),
    *("PNG", "JPEG", "WEBP", "BMP"),
)
"""Allowed formats: plain rasters. Other drivers of GDAL read services, archives or any file that a file names."""
DRIVERS = ("VRT", *PLAIN_DRIVERS)
"""A VRT also names files, so `geoseg.raster.source.vrt.check_vrt` checks them before it is opened."""

_NO_URL = "/vsicurl/network-is-off"

_OPTIONS: dict[str, str | int] = {
    # rasterio takes bytes; GDAL itself would read a small number as megabytes.
    "GDAL_CACHEMAX": CACHE_BYTES,
    # A VRT is data: it must not run code.
    "GDAL_VRT_ENABLE_PYTHON": "NO",
    "GTIFF_IGNORE_READ_ERRORS": "NO",
    "PROJ_NETWORK": "OFF",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_INGESTED_BYTES_AT_OPEN": "32768",
}

_NETWORK_OPTIONS = {
    # Without these a remote read never ends if the server stops sending.
    "GDAL_HTTP_CONNECTTIMEOUT": "10",
    "GDAL_HTTP_TIMEOUT": "60",
    "GDAL_HTTP_LOW_SPEED_TIME": "30",
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1000",
    "GDAL_HTTP_MAX_RETRY": "4",
    "GDAL_HTTP_RETRY_DELAY": "1",
}
"""Defaults that environment variables override."""


def network_setting(name: str) -> float:
    """Value of a network option of GDAL, from the environment or geoseg's default."""
    try:
        return max(0.0, float(os.environ.get(name, _NETWORK_OPTIONS[name])))
    except ValueError:
        return float(_NETWORK_OPTIONS[name])


@contextmanager
def gdal_env(**more: str) -> Iterator[None]:
    """Set the GDAL options with which every file is opened, read and written, and some more."""
    network = {name: os.environ.get(name, value) for name, value in _NETWORK_OPTIONS.items()}
    with rasterio.Env(**_OPTIONS, **network, **more):
        yield


@contextmanager
def open_raster(
    path: str, *, driver: str | None = None, remote: bool = False, **options: Any
) -> Iterator[DatasetReader]:
    """Open a raster for reading, inside `gdal_env`.

    The handle is closed at the end and never shared, not even with another call for the same file.

    Args:
        path: GDAL's name, see `geoseg.raster.source.address.locate`.
        driver: GDAL's name of the format; None tries `PLAIN_DRIVERS`, which exclude VRT.
        remote: The raster, or for a VRT some of its sources, may be read over the network.
        options: Open options of the driver.

    Raises:
        rasterio.errors.RasterioIOError: If the file is missing, damaged or of another format.
    """
    drivers = list(PLAIN_DRIVERS) if driver is None else [driver]
    try:
        with gdal_env(), rasterio.Env(**_network(path, remote)):
            with without_georeference_warning, _without_decode_errors:
                dataset = DatasetReader(path, driver=drivers, sharing=False, **options)
            with dataset:
                yield dataset
    # rasterio does not wrap all of GDAL's own errors.
    except (CPLE_BaseError, CRSError) as error:
        raise RasterioIOError(str(error)) from error
    except UnicodeDecodeError as error:
        raise RasterioIOError(f"GDAL's message about it holds bytes that are not UTF-8 text ({error}).") from None


@contextmanager
def _drop_decode_errors() -> Iterator[None]:
    """Suppress what Python prints when rasterio cannot log a message of GDAL that is not UTF-8, as of damaged metadata.

    The compiled log function of rasterio decodes a message before it asks any logging filter, cannot raise, and no
    option of GDAL or rasterio replaces it. So the hooks of Python are the only place, and they are changed only while a
    file is being opened, which is when GDAL reads metadata.
    """
    unraisable, uncaught = sys.unraisablehook, sys.excepthook

    def drop_unraisable(args: "sys.UnraisableHookArgs") -> None:
        if not isinstance(args.exc_value, UnicodeDecodeError):
            unraisable(args)

    def drop_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        # Cython also calls this hook for an error that it cannot raise, without a traceback.
        if trace is not None or not isinstance(error, UnicodeDecodeError):
            uncaught(kind, error, trace)

    sys.unraisablehook, sys.excepthook = drop_unraisable, drop_uncaught
    try:
        yield
    finally:
        sys.unraisablehook, sys.excepthook = unraisable, uncaught


def _network(path: str, remote: bool) -> dict[str, str]:
    """Options that restrict GDAL's network access: none, this file, or unrestricted for a VRT with remote sources."""
    if not remote:
        return {"CPL_VSIL_CURL_ALLOWED_FILENAME": _NO_URL}
    # Each sidecar file that GDAL looks for would cost a request.
    no_sidecars = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
    return no_sidecars | ({"CPL_VSIL_CURL_ALLOWED_FILENAME": path} if path.startswith("/vsi") else {})


@contextmanager
def _ignore_georeference_warning() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


without_georeference_warning = SharedContext(_ignore_georeference_warning)
"""Suppresses rasterio's warning of a missing georeference: it is an error in geoseg, or the settings allow it."""
_without_decode_errors = SharedContext(_drop_decode_errors)
