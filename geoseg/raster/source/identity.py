"""Which version of a file this is, without reading it: for fingerprints."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from geoseg.raster.source.remote import ask_bucket, ask_server
from geoseg.raster.source.version import Answer, Version

MOST_AT_ONCE = 16
"""Requests that wait for an answer at a time: enough to hide the latency, few enough for any server."""
_REMOTE = ("/vsi", "http://", "https://")
Item = TypeVar("Item")
Found = TypeVar("Found")


def identify(file: str) -> Version:
    """Find out which version of a file this is.

    Args:
        file: What GDAL opens.

    Raises:
        UnreachableError: If the server of a remote file does not answer, also when it is asked again.
    """
    return ask(file).version


def identify_all(files: Iterable[str]) -> tuple[Version, ...]:
    """As `identify`, for several files; remote ones are asked for `MOST_AT_ONCE` at a time."""
    files = list(files)
    distant = [file for file in files if file.startswith(_REMOTE)]
    versions = dict(zip(distant, (answer.version for answer in at_once(ask, distant)), strict=True))
    return tuple(versions[file] if file in versions else ask(file).version for file in files)


def ask(file: str) -> Answer:
    """Find out with one request at most which version of a file this is, and how it starts; errors as of `identify`."""
    path = Path(file)
    if path.is_file():
        state = path.stat()
        return Answer(Version(path.name, state.st_size, modified=state.st_mtime_ns))
    if not file.startswith(_REMOTE):
        return Answer(Version(path.name))
    return ask_bucket(file) if file.startswith("/vsis3/") else ask_server(file.removeprefix("/vsicurl/"))


def at_once(function: Callable[[Item], Found], items: Iterable[Item]) -> Iterator[Found]:
    """Call a function that waits for the network, for `MOST_AT_ONCE` items at a time; results in the items' order.

    The first error, in that order, is raised; what has not begun by then is not begun.
    """
    with ThreadPoolExecutor(MOST_AT_ONCE) as pool:
        yield from pool.map(function, items)
