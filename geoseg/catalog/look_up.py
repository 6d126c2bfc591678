"""Find what the entries of a mosaic or a list of scenes stand for: files and STAC Items."""

import glob
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from geoseg.catalog.listing import is_prefix, list_prefix
from geoseg.catalog.tables import TABLE_SUFFIXES, read_table
from geoseg.config import SceneSettings
from geoseg.errors import SceneError
from geoseg.mosaic_settings import SearchSettings
from geoseg.stac.documents import read_document
from geoseg.stac.item import Item, is_item, names_document
from geoseg.stac.search import search

RASTER_SUFFIXES = frozenset({".tif", ".tiff", ".jp2", ".vrt", ".img", ".ntf", ".nitf"})
"""Files that are taken from a directory."""
LIST_SUFFIX = ".txt"
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
Found = str | Item
T = TypeVar("T")


def look_up(
    entries: Iterable[str | SearchSettings], settings: SceneSettings = SceneSettings(), base: Path | None = None
) -> list[Found]:
    """Expand entries to paths of rasters and STAC Items, each once, in their order.

    Args:
        entries: Paths and URLs of rasters; directories, patterns and prefixes (``s3://BUCKET/DIR/``), whose files are
            sorted by name; ``.txt`` files with an entry a line; Items and ItemCollections (``.json``); stac-geoparquet
            and tile indexes; searches.
        settings: ``remote`` and ``allow_private_hosts`` apply to what is read.
        base: Directory of relative paths; default: the working directory.

    Raises:
        SceneError: If an entry stands for nothing, or cannot be read.
        UnreachableError: If a server does not answer.
    """
    found: dict[str, Found] = {}
    for entry in entries:
        for one in _expand(entry, settings, base):
            found.setdefault(one if isinstance(one, str) else f"{one.origin} {one.id}", one)
    return list(found.values())


def _expand(entry: str | SearchSettings, settings: SceneSettings, base: Path | None) -> Iterator[Found]:
    if isinstance(entry, SearchSettings):
        yield from _some(search(entry, settings), f"The search of {entry.search} finds no Item. Widen it.")
        return
    path = entry if base is None or _URL.match(entry) else str(base / entry)
    place, suffix = Path(path), Path(path.partition("?")[0]).suffix.lower()
    if names_document(path) and not glob.has_magic(path):
        yield from _of_document(path, settings)
    elif _URL.match(path):
        paths = list_prefix(path, settings, RASTER_SUFFIXES) if is_prefix(path) else [path]
        yield from _some(paths, f"{path} lists no raster ({_listed(RASTER_SUFFIXES)}). Correct the prefix.")
    elif _is(Path.is_dir, place):
        files = sorted(file for file in _entries_of(place) if file.suffix.lower() in RASTER_SUFFIXES)
        yield from _some(map(str, files), f"{path} is a directory without a raster ({_listed(RASTER_SUFFIXES)}).")
    elif suffix == LIST_SUFFIX and _is(Path.is_file, place):
        lines = (one for line in _lines(place) for one in _expand(line, settings, place.absolute().parent))
        yield from _some(lines, f"{path} lists no file. Write a path a line.")
    elif suffix in TABLE_SUFFIXES and _is(Path.is_file, place):
        yield from _some(read_table(place), f"{path} holds no row. Give a table with Items or files.")
    elif glob.has_magic(path) and not _is(Path.exists, place):
        matches = sorted(glob.glob(path, recursive=True))  # noqa: PTH207  pathlib would normalise the pattern
        for match in _some(matches, f"{path} is a pattern that matches no file here. Correct it."):
            yield from _of_document(match, settings) if names_document(match) else [match]
    else:
        yield path


def _of_document(path: str, settings: SceneSettings) -> Iterator[Item]:
    """The Items of a JSON document: an Item or an ItemCollection."""
    document = read_document(path, settings)
    origin = path if _URL.match(path) else str(Path(path).absolute())
    if is_item(document):
        yield Item(document, origin)
        return
    features = document.get("features")
    if not isinstance(features, list):
        kind = document.get("type", "no type")
        raise SceneError(
            f"{path} is neither a STAC Item with assets nor an ItemCollection ({kind}). Give one of these."
        )
    items = (Item(feature, origin) for feature in features if isinstance(feature, dict) and is_item(feature))
    yield from _some(items, f"{path} is a FeatureCollection without a STAC Item. Give one with Items.")


def _some(found: Iterable[T], message: str) -> Iterator[T]:
    """The same; raises SceneError if there is nothing."""
    empty = True
    for one in found:
        empty = False
        yield one
    if empty:
        raise SceneError(message)


def _lines(file: Path) -> Iterator[str]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SceneError(
            f"{file} cannot be read as a list of paths: {error}. Write a path a line, in UTF-8."
        ) from error
    yield from (line for raw in text.splitlines() if (line := raw.partition("#")[0].strip()))


def _is(kind: Callable[[Path], bool], path: Path) -> bool:
    """Whether a path is of a kind; a name that no file can have is of none, and fails where it is opened."""
    try:
        return kind(path)
    except (OSError, ValueError):  # too long, a circle of links, a zero byte
        return False


def _entries_of(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise SceneError(f"{folder} cannot be listed: {error.strerror}. Check its permissions.") from error


def _listed(suffixes: Iterable[str]) -> str:
    return ", ".join(sorted(suffixes))
