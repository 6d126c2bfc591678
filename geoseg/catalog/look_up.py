"""Find the files that the items of a mosaic stand for."""

import glob
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from geoseg.errors import SceneError

RASTER_SUFFIXES = frozenset({".tif", ".tiff", ".jp2", ".vrt", ".img", ".ntf", ".nitf"})
"""Files that are taken from a directory."""
LIST_SUFFIX = ".txt"
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def find_files(items: Iterable[str], base: Path | None = None) -> list[str]:
    """Expand directories, patterns and lists of paths to paths, each once, in their order.

    Files of a directory or pattern are sorted by name. A relative path in a list is relative to the list's directory.

    Args:
        items: Paths; a ``.txt`` file holds a path, directory or pattern a line, and ``#`` begins a comment.
        base: Directory of relative paths; default: the working directory.

    Raises:
        SceneError: If a directory, pattern or list stands for no file, or a list cannot be read.
    """
    return list(dict.fromkeys(path for item in items for path in _expand(item, base)))


def _expand(item: str, base: Path | None) -> Iterator[str]:
    path = item if base is None or _URL.match(item) else str(base / item)
    place = Path(path)
    if _URL.match(path) or (not glob.has_magic(path) and not _is_folder(place) and place.suffix.lower() != LIST_SUFFIX):
        yield path
    elif _is_folder(place):
        files = sorted(file for file in place.iterdir() if file.suffix.lower() in RASTER_SUFFIXES)
        yield from _some(map(str, files), f"{path} is a directory without a raster ({_listed(RASTER_SUFFIXES)}).")
    elif place.suffix.lower() == LIST_SUFFIX and place.is_file():
        yield from _some(
            (file for line in _lines(place) for file in _expand(line, place.absolute().parent)),
            f"{path} lists no file. Write a path a line.",
        )
    elif place.exists():  # a file whose name looks like a pattern
        yield path
    else:
        yield from _some(sorted(glob.glob(path, recursive=True)), f"{path} matches no file here. Correct the pattern.")  # noqa: PTH207


def _some(paths: Iterable[str], message: str) -> Iterator[str]:
    """The same paths; raises SceneError if there are none."""
    empty = True
    for path in paths:
        empty = False
        yield path
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


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except ValueError:  # a zero byte
        return False


def _listed(suffixes: Iterable[str]) -> str:
    return ", ".join(sorted(suffixes))
