"""How geoseg opens rasters: one set of GDAL options, one list of formats, no handle shared by threads or processes."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetReader

CACHE_BYTES = 64 << 20
"""Decoded tiles that GDAL keeps in a process. Its default is 5 % of the machine, for each of the workers."""

DRIVERS = (
    *("GTiff", "VRT", "JP2OpenJPEG", "HFA", "ENVI", "EHdr", "ERS", "NITF", "PCIDSK", "MRF"),
    *("PNG", "JPEG", "WEBP", "BMP"),
)
"""Formats a scene may have: plain rasters. GDAL's others reach web services, databases or whole archives."""

_OPTIONS = {
    # rasterio takes bytes here, where GDAL's own option would read 64 as megabytes.
    "GDAL_CACHEMAX": CACHE_BYTES,
    # A VRT is data: it must not run code.
    "GDAL_VRT_ENABLE_PYTHON": "NO",
    "GTIFF_IGNORE_READ_ERRORS": "NO",
    "PROJ_NETWORK": "OFF",
    # Without these a remote read hangs for ever when the other side falls silent.
    "GDAL_HTTP_CONNECTTIMEOUT": "10",
    "GDAL_HTTP_TIMEOUT": "60",
    "GDAL_HTTP_LOW_SPEED_TIME": "30",
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1000",
    "GDAL_HTTP_MAX_RETRY": "4",
    "GDAL_HTTP_RETRY_DELAY": "1",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_INGESTED_BYTES_AT_OPEN": "32768",
}


@contextmanager
def gdal_env() -> Iterator[None]:
    """Set the GDAL options under which every file is opened, read and written."""
    with rasterio.Env(**_OPTIONS):
        yield


@contextmanager
def open_raster(path: str, **options: Any) -> Iterator[DatasetReader]:
    """Open a raster of one of `DRIVERS` for reading, inside `gdal_env`.

    The handle is closed at the end and not shared, not even with another call for the same file.

    Args:
        path: What GDAL opens: a file or a ``/vsi`` path.
        options: Open options of the driver.

    Raises:
        rasterio.errors.RasterioIOError: If the file is missing, damaged or of another format.
    """
    with gdal_env():
        with quiet():
            dataset = DatasetReader(path, driver=list(DRIVERS), sharing=False, **options)
        with dataset:
            yield dataset


@contextmanager
def quiet() -> Iterator[None]:
    """Keep rasterio from warning of a missing georeference: geoseg makes it an error, or was told to allow it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield
