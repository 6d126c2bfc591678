"""Explain why a raster or one of its sidecar files cannot be opened. GDAL ignores some unreadable files silently."""

import os
from collections import Counter
from pathlib import Path

from rasterio.errors import RasterioIOError

from geoseg.errors import SceneError
from geoseg.raster.source.address import Address
from geoseg.raster.source.env import DRIVERS

SIDECARS = (".msk", ".aux.xml")
"""Suffixes of the sidecar files that GDAL reads: the mask, and metadata such as nodata."""


def check_access(address: Address) -> None:
    """Try to open a raster and its sidecar files: without permission GDAL would silently ignore the mask.

    Raises:
        OSError: If one of them exists and cannot be read.
        SceneError: If the address is a directory.
    """
    if address.file is None:
        return
    file = Path(address.file)
    if file.is_dir():
        raise SceneError(_explain_folder(file))
    with file.open("rb"):
        pass
    for other in (Path(f"{file}{suffix}") for suffix in SIDECARS):
        if os.path.lexists(other):  # a broken link is an error too
            with other.open("rb"):
                pass


def _explain_folder(folder: Path) -> str:
    names = [
        path.suffix for path in folder.iterdir() if path.suffix.lower() in {".tif", ".tiff", ".jp2", ".img", ".vrt"}
    ]
    if not names:
        return f"{folder} is a directory, not a raster, and holds none. Give the files themselves."
    suffix, count = Counter(names).most_common(1)[0]
    return f"{folder} is a directory, not a raster. Give the files in it: {folder}/*{suffix} ({count} here)."


def explain_access_error(address: Address, error: OSError) -> str:
    """Message that names the file that the operating system does not let us read, and the reason."""
    file = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else address.name
    of = "" if file in (address.file, address.name) else f", which {address.name} needs,"
    return f"{file}{of} cannot be read: {error.strerror or error}. Check the file, its links and the rights to it."


def explain_open_error(address: Address, error: RasterioIOError) -> str:
    """Message that explains why GDAL cannot open a raster, from its first bytes."""
    if address.file is None:
        return (
            f"{address.name} cannot be opened over the network: {error.__cause__ or error} Check the address and the "
            "credentials; GDAL_HTTP_TIMEOUT and GDAL_HTTP_MAX_RETRY set how long to try."
        )
    path, file = address.name, Path(address.file)
    if not file.stat().st_size:
        return f"{path} is empty (0 bytes). Fetch it again."
    with file.open("rb") as stream:
        start = stream.read(40)
    hint = (
        " It is a web page, perhaps of a login or an error."
        if start.lstrip().lower().startswith((b"<html", b"<!doctype"))
        else ""
    )
    return (
        f"{path} cannot be opened as a raster: {error.__cause__ or error} It starts with {start!r}.{hint} "
        f"Fetch it again, or convert it to GeoTIFF; geoseg reads {', '.join(DRIVERS)}."
    )
