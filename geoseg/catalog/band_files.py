"""A mapping of a model's bands to files as a source: ``{red: a.tif#1, nir: b.tif, red@2: c.tif#3}``."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import takewhile
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from geoseg.catalog.candidate import Candidate, facts_of, stacked
from geoseg.catalog.item_source import ItemReader
from geoseg.config import SceneSettings
from geoseg.errors import SceneError
from geoseg.raster.band_names import canonical, plain
from geoseg.raster.mosaic.composite import Part, Source
from geoseg.raster.source.scene import Scene, describe
from geoseg.stac.item import Item, names_document, read_item

ID = "id"
"""Key of a mapping that is no band: the scene's name in the output."""


def of_mapping(files: Mapping[str, str], names: Sequence[str], settings: SceneSettings) -> Candidate:
    """Make a source of files that hold a band each, or some.

    Args:
        files: By band a path, and after ``#`` the number or name of the band in the file, or for an Item its name or
            asset. Keys are the model's names of its bands; ``@2`` behind a name is its second occurrence.
        names: The model's names, in its order.
        settings: How each file is read.

    Raises:
        SceneError: If a band of the model is absent, a key is none of its bands, or a file cannot be used.
    """

    @cache
    def described(path: str) -> Scene:
        return describe(path, settings)

    @cache
    def item_of(path: str) -> Item:
        return read_item(path, settings)

    def of_band(key: str, text: str) -> Candidate:
        path, band = _split(text)
        if names_document(path):
            return ItemReader([band or key.partition("@")[0]], settings).read(item_of(path))
        file = described(path)
        number = _number(file, path, band, key.partition("@")[0])
        part = Part(path, file.grid, (number,), (1,))
        return Candidate(
            Source(path, (part,)),
            file.grid,
            facts_of(file, [number]),
            file.files,
            file.versions,
            file.remote,
            block_shape=file.block_shape,
            in_cells=file.in_cells,
        )

    return stacked(mapping_name(files), [of_band(*entry) for entry in _in_order(files, names)], names)


def mapping_name(files: Mapping[str, str]) -> str:
    """Id of the scene of a mapping: the given one, else what the names of its files begin with."""
    if ID in files:
        return files[ID]
    stems = [PurePosixPath(urlsplit(_split(text)[0]).path).stem for text in files.values()]
    alike = takewhile(lambda letters: len({*letters}) == 1, zip(*stems, strict=False))
    return "".join(letters[0] for letters in alike).rstrip("_-. ") or stems[0]


def _in_order(files: Mapping[str, str], names: Sequence[str]) -> list[tuple[str, str]]:
    """Keys and files in the order of the model's bands."""
    keys = [key for key in files if key != ID]
    found = []
    for name, wanted in zip(names, _numbered(names), strict=True):
        same: list[str] = []
        for simplify in (plain, canonical):  # an equal spelling has priority over a synonym
            same = same or [key for key in keys if _key(*_numbered([key])[0], simplify) == _key(*wanted, simplify)]
        if len(same) != 1:
            what = "no file for it" if not same else f"several: {', '.join(same)}"
            raise SceneError(
                f"The model takes {', '.join(names)}; for band {name} the mapping under scenes has {what}. It has "
                f"{', '.join(keys)}. Give a file for each band; @2 behind a name is its second date."
            )
        found.append(same[0])
    if unused := [key for key in keys if key not in found]:
        raise SceneError(
            f"The mapping under scenes names {', '.join(unused)}, which the model does not take. It takes "
            f"{', '.join(names)}: leave the others out."
        )
    return [(key, files[key]) for key in found]


def _key(name: str, number: int, simplify: Callable[[str], str]) -> tuple[str, int]:
    return simplify(name), number


def _numbered(names: Sequence[str]) -> list[tuple[str, int]]:
    """Names without ``@n``, and which occurrence they are: the n, else a count."""
    seen = Counter[str]()
    numbered = []
    for name in names:
        base, at, number = name.partition("@")
        seen[plain(base)] += 1
        numbered.append((base, int(number) if at and number.isdecimal() else seen[plain(base)]))
    return numbered


def _split(text: str) -> tuple[str, str]:
    """Path and band of ``file#band``; a file whose own name holds a ``#`` is found."""
    path, hash_, band = text.rpartition("#")
    return (text, "") if not hash_ or Path(text).exists() else (path, band)


def _number(file: Scene, path: str, band: str, key: str) -> int:
    """Number of a band in a file, from 1: the given one, the one with the given name, or the only one."""
    if band.isdecimal():
        number = int(band)
        if not 1 <= number <= file.bands:
            raise SceneError(f"{path} has {file.bands} bands, counted from 1, and {path}#{band} is wanted. Correct it.")
        return number
    named = [
        number for number, name in enumerate(file.descriptions, 1) if name and canonical(name) == canonical(band or key)
    ]
    if len(named) == 1:
        return named[0]
    if not band and file.bands == 1:
        return 1
    listed = ", ".join(f"{number} {name or 'unnamed'}" for number, name in enumerate(file.descriptions, 1))
    raise SceneError(
        f"{path} has {file.bands} bands ({listed}), and {band or key} is not the name of one. Write its number: "
        f"{key}: {path}#1."
    )
