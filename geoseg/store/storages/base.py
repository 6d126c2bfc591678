"""Objects under a run's output: a local folder, or a prefix of an S3 bucket.

A key is relative and separated by '/'. An object appears whole or not at all, so a reader never meets half of one.
Folders are no objects: they come with the first object in them and go with the last.
"""

import os
import re
import secrets
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

Buffer = bytes | memoryview
"""Bytes to be written; a view of them saves a copy."""


class Storage(Protocol):
    """What a run needs of the place its output lies in. A value: cheap to make, to compare and to send to a worker.

    Every method raises ValueError for a key that could leave the output, and OSError, naming the object, if the
    storage fails.
    """

    @property
    def url(self) -> str:
        """The place, for messages; holds no credentials."""

    def put(self, key: str, data: Buffer, *, sync: bool = True) -> None:
        """Write an object, replacing an earlier one.

        With ``sync`` it survives a power cut from then on. Without, such a cut may take it, or leave another content.
        """

    def create(self, key: str, data: bytes) -> bool:
        """Write an object unless there is one; of several who try at once, exactly one gets True."""

    def get(self, key: str) -> bytes:
        """Read an object.

        Raises:
            FileNotFoundError: If there is none.
        """

    def size(self, key: str) -> int | None:
        """Bytes of an object; None if there is none."""

    def times(self, key: str) -> tuple[int, ...] | None:
        """When an object was changed, in nanoseconds since 1970, by all clocks that tell; None if there is none.

        All are later for an object that was changed later, whoever did it.
        """

    def keys(self, prefix: str) -> list[str]:
        """All keys in a folder and below it ('' for the whole output), sorted, without temporary ones."""

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """Bytes of all objects in a folder and below it, temporary ones too."""

    def folders(self, prefix: str) -> list[str]:
        """Names of the folders directly in a folder, sorted, without temporary ones."""

    def delete(self, key: str) -> None:
        """Remove an object, if there is one."""

    def delete_all(self, prefix: str) -> None:
        """Remove a folder with all that is in it, temporary files too."""

    def retire(self, key: str, folder: str) -> None:
        """Remove an object, if there is one, as long as a folder is there.

        Raises:
            FileNotFoundError: If there is no such folder.
        """

    def move(self, source: str, target: str) -> None:
        """Give an object another key, replacing what has it.

        Raises:
            FileNotFoundError: If there is no object at `source`.
        """

    def age_s(self, key: str) -> float | None:
        """Seconds since an object was written, by the storage's own clock; None if there is none."""

    def scratch(self, prefix: str) -> AbstractContextManager[Path]:
        """Give an empty local folder to build files for `upload` in; it is removed at the end."""

    def upload(self, file: Path, key: str) -> None:
        """Publish a finished local file, which may be gone afterwards; durable when this returns."""

    def fetch(self, key: str, folder: Path) -> Path:
        """Give a local file with an object's content, to read only; downloaded into `folder` if it must be.

        Raises:
            FileNotFoundError: If there is no such object.
        """

    def check_writable(self) -> None:
        """Write a probe, read it back and delete it.

        Raises:
            SettingsError: If that fails.
        """


def checked(key: str) -> str:
    """Return a key as it is.

    Raises:
        ValueError: If it could leave the output, or holds what one of the storages cannot keep.
    """
    if any(part in {"", ".", ".."} for part in key.split("/")) or any(ord(sign) < 32 or sign == "\x7f" for sign in key):
        raise ValueError(f"{key!r} is no key: it must be a relative path without '.', '..' and control characters")
    return key


def temporary_name() -> str:
    """Name for a file or folder that no reader looks at; short, as the name it stands in for may be long."""
    return f".{os.getpid()}-{secrets.token_hex(8)}.tmp"


def is_temporary(key: str) -> bool:
    """Tell whether a part of a key is a `temporary_name`."""
    return any(re.fullmatch(r"\.\d+-[0-9a-f]{16}\.tmp", part) for part in key.split("/"))
