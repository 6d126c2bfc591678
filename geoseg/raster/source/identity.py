"""Determine the version of a file without reading its content, for fingerprints."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from geoseg.raster.source.remote_version import query_bucket, query_server
from geoseg.raster.source.version import Response, Version

MAX_REQUESTS = 16
"""Concurrent requests: enough to hide the latency, few enough for any server."""
_REMOTE = ("/vsi", "http://", "https://")
Item = TypeVar("Item")
Result = TypeVar("Result")


def identify(file: str) -> Version:
    """Determine the version of a file.

    Args:
        file: GDAL's name of the file.

    Raises:
        UnreachableError: If the server of a remote file does not answer, after all retries.
    """
    return query_file(file).version


def identify_all(files: Iterable[str]) -> tuple[Version, ...]:
    """As `identify`, for several files, with up to `MAX_REQUESTS` concurrent requests."""
    files = tuple(files)
    far = [file for file in files if file.startswith(_REMOTE)]
    versions = dict(zip(far, map_concurrently(identify, far), strict=True))
    return tuple(versions[file] if file in versions else identify(file) for file in files)


def query_file(file: str) -> Response:
    """Determine the version and the first bytes of a file with at most one request; errors as of `identify`."""
    path = Path(file)
    if path.is_file():
        state = path.stat()
        return Response(Version(path.name, state.st_size, modified=state.st_mtime_ns))
    if not file.startswith(_REMOTE):
        return Response(Version(path.name))
    return query_bucket(file) if file.startswith("/vsis3/") else query_server(file.removeprefix("/vsicurl/"))


def map_concurrently(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Apply a function that waits for the network to `MAX_REQUESTS` items at a time; results in the items' order.

    The first error in that order is raised; calls that have not started by then are cancelled.
    """
    items = tuple(items)
    if len(items) < 2:  # the usual scene: threads would cost more than the call
        yield from map(function, items)
        return
    with ThreadPoolExecutor(MAX_REQUESTS) as pool:
        yield from pool.map(function, items)
