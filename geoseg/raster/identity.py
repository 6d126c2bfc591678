"""Which version of a file this is, without reading it: for fingerprints."""

import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

REMOTE_TIMEOUT_S = 30.0


def identify(file: str) -> list[Any]:
    """Name, size and time of change of a local file; of one on a web server what it says of it.

    Directories and the query of a URL, where signatures stand, do not count: a scene that is moved together with its
    sidecars stays the same. Of what cannot be asked, such as a file in a bucket, only the name is known.

    Args:
        file: What GDAL opens.
    """
    path = Path(file)
    if path.is_file():
        state = path.stat()
        return [path.name, state.st_size, state.st_mtime_ns]
    url = file.removeprefix("/vsicurl/")
    parts = urlsplit(url)
    name = os.path.basename(parts.path)  # noqa: PTH119  a URL is no path of this system
    if parts.scheme not in {"http", "https"}:
        return [file]
    # Not a HEAD: a presigned address allows a GET alone.
    request = urllib.request.Request(url, headers={"Range": "bytes=0-0"})  # noqa: S310  the scheme was just checked
    try:
        with urllib.request.urlopen(request, timeout=REMOTE_TIMEOUT_S) as answer:  # noqa: S310
            size = answer.headers.get("Content-Range", "").rpartition("/")[2] or answer.headers.get("Content-Length")
            return [name, size, answer.headers.get("ETag"), answer.headers.get("Last-Modified")]
    except (OSError, urllib.error.URLError, ValueError):
        return [name]
