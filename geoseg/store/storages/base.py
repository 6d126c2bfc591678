"""Objects under a run's output: a local folder, or a prefix of an S3 bucket.

A key is relative and separated by '/'. Writing an object is atomic: a reader sees all of it or nothing.
Folders are not objects: a folder exists while there is an object in it.
"""

import hashlib
import os
import re
import secrets
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, TypeVar

T = TypeVar("T")
V = TypeVar("V")
Buffer = bytes | memoryview
"""Bytes to be written; a memoryview avoids a copy."""
READERS = 16
"""Objects read in parallel: each is small, and the storage may be remote."""


class Storage(Protocol):
    """The storage of an output. A frozen value: cheap to create, to compare and to send to a worker.

    Every method raises ValueError for a key that could leave the output, and OSError, naming the object, if the
    storage fails.
    """

    @property
    def url(self) -> str:
        """Its URL or path, without credentials."""

    def put(self, key: str, data: Buffer, *, sync: bool = True) -> None:
        """Write an object, replacing an earlier one.

        With ``sync`` it survives a power failure. Without, it may be missing or damaged afterwards.
        """

    def create(self, key: str, data: bytes) -> bool:
        """Write an object unless it exists; of several concurrent calls exactly one returns True."""

    def get(self, key: str) -> bytes:
        """Read an object.

        Raises:
            FileNotFoundError: If there is none.
        """

    def size(self, key: str) -> int | None:
        """Bytes of an object; None if there is none."""

    def times(self, key: str) -> tuple[int, ...] | None:
        """Times of the last change, in nanoseconds since 1970; None if there is no object.

        At least one of them is later for an object that was changed later.
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
        """Remove an object, if there is one, but only while a folder exists.

        Raises:
            FileNotFoundError: If there is no such folder.
        """

    def move(self, source: str, target: str) -> None:
        """Move an object to another key, replacing an object there.

        Raises:
            FileNotFoundError: If there is no object at `source`.
        """

    def age_s(self, key: str) -> float | None:
        """Seconds since an object was written, by the storage's own clock; None if there is none."""

    def scratch(self, prefix: str) -> AbstractContextManager[Path]:
        """An empty local folder in which files for `upload` are built; removed at the end."""

    def upload(self, file: Path, key: str) -> None:
        """Store a finished local file, which may be moved away; durable when this returns."""

    def fetch(self, key: str, folder: Path) -> Path:
        """A local file with the content of an object, read-only; downloaded into `folder` if it is not local.

        Raises:
            FileNotFoundError: If there is no such object.
        """


def read_all(read: Callable[[T], V], items: Iterable[T]) -> list[V]:
    """Call ``read`` for each item, several at a time; the results in the order of the items."""
    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(read, items))


def sha256_of(content: Buffer | Path) -> str:
    """The sha256 of bytes or of a file, in hexadecimal."""
    if not isinstance(content, Path):
        return hashlib.sha256(content).hexdigest()
    with content.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def checked(key: str) -> str:
    """Return a key as it is.

    Raises:
        ValueError: If it could leave the output, or has characters that a storage does not support.
    """
    if any(part in {"", ".", ".."} for part in key.split("/")) or any(ord(sign) < 32 or sign == "\x7f" for sign in key):
        raise ValueError(f"{key!r} is no key: it must be a relative path without '.', '..' and control characters")
    return key


def temporary_name() -> str:
    """Name for a temporary file or folder, which readers ignore; short, because names have a maximum length."""
    return f".{os.getpid()}-{secrets.token_hex(8)}.tmp"


def is_temporary(key: str) -> bool:
    """Tell whether a part of a key is a `temporary_name`."""
    return any(re.fullmatch(r"\.\d+-[0-9a-f]{16}\.tmp", part) for part in key.split("/"))
