"""Read the files of a bundle into memory once, so that the loaded bytes are the hashed bytes."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geoseg.errors import SettingsError

MODEL_FILE = "model.json"
MAX_MODEL_FILE_BYTES = 16 << 20
MAX_BUNDLE_BYTES = 16 << 30
"""Maximum size of all files together."""
MAX_DEPTH = 64
"""Maximum nesting of a ``model.json``."""
COMMENT = "//"
"""Beginning of a line of a ``model.json`` that is a comment."""
TOO_DEEP = f"its brackets are nested more than {MAX_DEPTH} deep. Correct it, or copy the bundle again."
_SURROGATE = re.compile("[\ud800-\udfff]")
FIRST_DATA_FILE = 2
"""Index of the first data file, after ``model.json`` and the artifact."""


def read_json(path: Path) -> dict[str, Any]:
    """Read the object in a JSON file, in which lines that begin with ``//`` are comments.

    Raises:
        SettingsError: If the file cannot be read.
        ValueError: If it is not standard JSON, or holds NaN or a duplicate key.
    """
    return _parse(_read({path.name: path}, MAX_MODEL_FILE_BYTES)[path.name])


def read_files(path: Path, artifact: str) -> dict[str, bytes]:
    """Read all files of a bundle: ``model.json``, the artifact, and the data files that it names.

    Raises:
        SettingsError: If a file cannot be read or is too large, or a data file is missing or outside the bundle.
    """
    files = _read({name: path / name for name in (MODEL_FILE, artifact)}, MAX_BUNDLE_BYTES)
    if artifact == "model.onnx":
        from geoseg.model.bundle.onnx_file import find_data_files  # noqa: PLC0415  half a second; only for ONNX

        beside = find_data_files(files[artifact], path / artifact)
        files |= _read(beside, MAX_BUNDLE_BYTES - sum(map(len, files.values())))
    return files


def digest(files: Mapping[str, bytes]) -> str:
    """The sha256 of a bundle's files, in hexadecimal."""
    sha256 = hashlib.sha256()
    for index, (name, content) in enumerate(files.items()):
        if index > FIRST_DATA_FILE:
            sha256.update(f"{name} {len(content)}".encode())  # marks where one of several data files ends
        sha256.update(content)
    return sha256.hexdigest()


def is_file(path: Path) -> bool:
    """Return whether a file exists.

    Raises:
        SettingsError: If its directory cannot be read.
    """
    try:
        return path.is_file()
    except OSError as error:
        raise _unreadable(path, error) from error


def _read(paths: Mapping[str, Path], most_bytes: int) -> dict[str, bytes]:
    """Read files; sizes are checked before memory is allocated."""
    contents = {}
    for name, path in paths.items():
        try:
            size = path.stat().st_size
            if size > most_bytes:
                raise SettingsError(
                    f"{path} has {size} bytes, and at most {most_bytes} are read. Export a smaller model."
                )
            most_bytes -= size
            contents[name] = path.read_bytes()
        except OSError as error:
            raise _unreadable(path, error) from error
    return contents


def _unreadable(path: Path, error: OSError) -> SettingsError:
    return SettingsError(
        f"{path} cannot be read: {error.strerror or error}. Give the user that runs geoseg permission to read it, "
        "or copy the bundle again."
    )


def _parse(content: bytes) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        if twice := sorted({key for key in keys if keys.count(key) > 1}) if len(set(keys)) < len(keys) else []:
            raise ValueError(f"it has the keys {twice} twice. Remove one of each.")
        return dict(pairs)

    def constant(name: str) -> float:
        raise ValueError(f"{name} is not a number of JSON. Write a finite number.")

    try:
        document = json.loads(_without_comments(content.decode()), object_pairs_hook=unique, parse_constant=constant)
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 text at byte {error.start}. Save it as UTF-8.") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error}. Correct it there.") from error
    except RecursionError as error:
        raise ValueError(TOO_DEEP) from error
    if _depth(document) > MAX_DEPTH:
        raise ValueError(TOO_DEEP)
    if odd := _SURROGATE.search(json.dumps(document, ensure_ascii=False)):
        code = f"\\u{ord(odd[0]):04x}"
        raise ValueError(f"it holds {code}, half of a character, which no file can hold. Correct that text.")
    if not isinstance(document, dict):
        kind = type(document).__name__
        raise ValueError(f"it holds a {kind}, not an object. Write its keys in braces.")  # noqa: TRY004  of its content
    return document


def _without_comments(text: str) -> str:
    """The text with comments as empty lines. Strings of JSON hold no line break, so none can look like a comment."""
    return "\n".join("" if line.lstrip().startswith(COMMENT) else line for line in text.split("\n"))


def _depth(document: Any) -> int:
    depth, level = 0, [document]
    while level:
        depth += 1
        level = [part for whole in level if isinstance(whole, dict | list)
                 for part in (whole.values() if isinstance(whole, dict) else whole)]  # fmt: skip
    return depth
