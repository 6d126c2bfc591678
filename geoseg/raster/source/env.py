"""How geoseg opens rasters: one set of GDAL options, one list of formats, no handle shared by threads or processes."""

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

from geoseg.raster.source.shared_context import Shared

CACHE_BYTES = 64 << 20
"""Decoded tiles that GDAL keeps in a process. Its default is 5 % of the machine, for each of the workers."""

PLAIN_DRIVERS = (
    *("GTiff", "JP2OpenJPEG", "HFA", "ENVI", "EHdr", "ERS", "NITF"),
    *("PNG", "JPEG", "WEBP", "BMP"),
)
"""Formats a scene may have: plain rasters. GDAL's others reach services, archives or any file they name."""
DRIVERS = ("VRT", *PLAIN_DRIVERS)
"""A VRT names files too, and is opened only after `geoseg.raster.source.vrt.check_vrt` has looked at them."""

_NOWHERE = "/vsicurl/network-is-off"

_OPTIONS: dict[str, str | int] = {
    # rasterio takes bytes here, where GDAL's own option would read 64 as megabytes.
    "GDAL_CACHEMAX": CACHE_BYTES,
    # A VRT is data: it must not run code.
    "GDAL_VRT_ENABLE_PYTHON": "NO",
    "GTIFF_IGNORE_READ_ERRORS": "NO",
    "PROJ_NETWORK": "OFF",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_INGESTED_BYTES_AT_OPEN": "32768",
}

_PATIENCE = {
    # Without these a remote read hangs for ever when the other side falls silent.
    "GDAL_HTTP_CONNECTTIMEOUT": "10",
    "GDAL_HTTP_TIMEOUT": "60",
    "GDAL_HTTP_LOW_SPEED_TIME": "30",
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1000",
    "GDAL_HTTP_MAX_RETRY": "4",
    "GDAL_HTTP_RETRY_DELAY": "1",
}
"""What the process's environment may set otherwise."""


def patience(name: str) -> float:
    """How long, or how often, to try: one of GDAL's options above, as the environment or geoseg has it."""
    try:
        return max(0.0, float(os.environ.get(name, _PATIENCE[name])))
    except ValueError:
        return float(_PATIENCE[name])


@contextmanager
def gdal_env() -> Iterator[None]:
    """Set the GDAL options under which every file is opened, read and written."""
    with rasterio.Env(**_OPTIONS, **{name: os.environ.get(name, value) for name, value in _PATIENCE.items()}):
        yield


@contextmanager
def open_raster(
    path: str, *, driver: str | None = None, remote: bool = False, **options: Any
) -> Iterator[DatasetReader]:
    """Open a raster for reading, inside `gdal_env`.

    The handle is closed at the end and not shared, not even with another call for the same file.

    Args:
        path: What GDAL opens, see `geoseg.raster.source.address.locate`.
        driver: GDAL's name of the format; None tries `PLAIN_DRIVERS`, so never a VRT.
        remote: The raster, or for a VRT some of its sources, may be read over the network.
        options: Open options of the driver.

    Raises:
        rasterio.errors.RasterioIOError: If the file is missing, damaged or of another format.
    """
    drivers = list(PLAIN_DRIVERS) if driver is None else [driver]
    try:
        with gdal_env(), rasterio.Env(**_network(path, remote)), _legible:
            with quiet:
                dataset = DatasetReader(path, driver=drivers, sharing=False, **options)
            with dataset:
                yield dataset
    # rasterio lets GDAL's own errors pass where it asks for more than pixels.
    except (CPLE_BaseError, CRSError) as error:
        raise RasterioIOError(str(error)) from error
    except UnicodeDecodeError as error:
        raise RasterioIOError(f"GDAL's account of it holds bytes of the file that are no text ({error}).") from None


@contextmanager
def _undecodable_log_lines_dropped() -> Iterator[None]:
    """Keep Python from printing errors where rasterio cannot log what GDAL says, since that quotes the file's bytes."""
    unraisable, uncaught = sys.unraisablehook, sys.excepthook

    def drop_unraisable(found: "sys.UnraisableHookArgs") -> None:
        if not isinstance(found.exc_value, UnicodeDecodeError):
            unraisable(found)

    def drop_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        # Cython reports what it cannot raise here as well, but without a traceback.
        if trace is not None or not isinstance(error, UnicodeDecodeError):
            uncaught(kind, error, trace)

    sys.unraisablehook, sys.excepthook = drop_unraisable, drop_uncaught
    try:
        yield
    finally:
        sys.unraisablehook, sys.excepthook = unraisable, uncaught


def _network(path: str, remote: bool) -> dict[str, str]:
    """What GDAL's network file systems may reach: nothing, this one file, or anything for a VRT with remote sources."""
    if not remote:
        return {"CPL_VSIL_CURL_ALLOWED_FILENAME": _NOWHERE}
    # Looking for sidecars would cost a request each.
    alone = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
    return alone | ({"CPL_VSIL_CURL_ALLOWED_FILENAME": path} if path.startswith("/vsi") else {})


@contextmanager
def _without_warning() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


quiet = Shared(_without_warning)
"""Keeps rasterio from warning of a missing georeference: geoseg makes it an error, or was told to allow it."""
_legible = Shared(_undecodable_log_lines_dropped)
