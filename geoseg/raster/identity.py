"""Which version of a file this is, without reading it: for fingerprints."""

import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

REMOTE_TIMEOUT_S = 30.0
MOST_AT_ONCE = 16
"""Requests that wait for an answer at a time: enough to hide the latency, few enough for any server."""
_START_BYTES = 16
_REMOTE = ("/vsi", "http://", "https://")
Item = TypeVar("Item")
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request tells of a file."""

    version: tuple[Any, ...]
    """See `identify`."""
    start: bytes
    """Its first bytes, as many as a format is recognized by; empty if only its name is known, or it is local."""


def identify(file: str) -> list[Any]:
    """Name, size and time of change of a local file; of one on a web server what it says of it.

    Directories and the query of a URL, where signatures stand, do not count: a scene that is moved together with its
    sidecars stays the same. Of what cannot be asked, such as a file in a bucket, only the name is known.

    Args:
        file: What GDAL opens.
    """
    return list(ask(file).version)


def identify_all(files: Iterable[str]) -> tuple[tuple[Any, ...], ...]:
    """As `identify`, for several files; remote ones are asked for `MOST_AT_ONCE` at a time."""
    files = list(files)
    distant = [file for file in files if file.startswith(_REMOTE)]
    versions = dict(zip(distant, (answer.version for answer in at_once(ask, distant)), strict=True))
    return tuple(versions[file] if file in versions else ask(file).version for file in files)


def ask(file: str) -> Answer:
    """Find out with one request at most which version of a file this is, and how it starts."""
    path = Path(file)
    if path.is_file():
        state = path.stat()
        return Answer((path.name, state.st_size, state.st_mtime_ns), b"")
    url = file.removeprefix("/vsicurl/")
    parts = urlsplit(url)
    name = os.path.basename(parts.path)  # noqa: PTH119  a URL is no path of this system
    if parts.scheme not in {"http", "https"}:
        return Answer((file,), b"")
    # Not a HEAD: a presigned address allows a GET alone.
    wanted = {"Range": f"bytes=0-{_START_BYTES - 1}"}
    request = urllib.request.Request(url, headers=wanted)  # noqa: S310  the scheme was just checked
    try:
        with urllib.request.urlopen(request, timeout=REMOTE_TIMEOUT_S) as answer:  # noqa: S310
            size = answer.headers.get("Content-Range", "").rpartition("/")[2] or answer.headers.get("Content-Length")
            version = (name, size, answer.headers.get("ETag"), answer.headers.get("Last-Modified"))
            return Answer(version, answer.read(_START_BYTES))
    except (OSError, urllib.error.URLError, ValueError):
        return Answer((name,), b"")


def at_once(function: Callable[[Item], Found], items: Iterable[Item]) -> Iterator[Found]:
    """Call a function that waits for the network, for `MOST_AT_ONCE` items at a time; results in the items' order.

    The first error, in that order, is raised; what has not begun by then is not begun.
    """
    with ThreadPoolExecutor(MOST_AT_ONCE) as pool:
        yield from pool.map(function, items)
