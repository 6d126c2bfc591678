"""Records of finished units of work: parts with their bytes, and a record with the digest of each part.

The record is written last. A part without a valid record does not count: a dead process may have left it. Neither is
synced to the disk: a part that a power failure has damaged does not match its record, and the unit is repeated.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from geoseg.errors import StoreError
from geoseg.store.storages.base import Buffer, Storage, sha256_of
from geoseg.store.storages.opening import open_storage

T = TypeVar("T", bytes, Path)
CACHED_RECORDS = 4096
"""Records that a process caches: all neighbours of a block read its record, perhaps from a remote storage."""


@dataclass(frozen=True, slots=True)
class Record:
    """One finished unit of work."""

    facts: Mapping[str, Any]
    """Small values for the driver and the report."""
    parts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Size in ``bytes`` and ``sha256`` of each part."""


@dataclass(frozen=True, slots=True)
class Records:
    """The records under one prefix of a storage. Is sent to workers."""

    url: str
    """The storage."""
    prefix: str
    """Folder of the records."""

    @property
    def storage(self) -> Storage:
        """The storage, opened once in each process."""
        return open_storage(self.url)

    def put(self, kind: str, name: str, facts: Mapping[str, Any], **parts: Buffer) -> int:
        """Write the parts, then the record; returns the bytes written."""
        described = {}
        for part, data in parts.items():
            self.storage.put(self._key(kind, name, part), data, sync=False)
            described[part] = {"bytes": len(data), "sha256": sha256_of(data)}
        text = json.dumps({"facts": dict(facts), "parts": described}, sort_keys=True).encode()
        self.storage.put(self._key(kind, name, "json"), text, sync=False)
        return sum(len(data) for data in parts.values()) + len(text)

    def find(self, kind: str, name: str) -> Record | None:
        """The record; None if the unit is not finished."""
        try:
            content = json.loads(self.storage.get(self._key(kind, name, "json")))
            return Record(content["facts"], content["parts"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None  # also a record that a power failure has damaged

    def get(self, kind: str, name: str, part: str) -> bytes | None:
        """The content of a part; None if the record has no such part.

        Raises:
            StoreError: If it is lost or damaged. Its record is invalidated, so that the next run repeats the unit.
        """
        return self._checked(kind, name, part, self.storage.get)

    def fetch(self, kind: str, name: str, part: str, folder: Path) -> Path | None:
        """A local file with the content of a part, perhaps in ``folder``; None and errors as of `get`."""
        return self._checked(kind, name, part, lambda key: self.storage.fetch(key, folder))

    def invalidate(self, kind: str, name: str) -> None:
        """Delete the record, so that the unit is repeated."""
        self.storage.delete(self._key(kind, name, "json"))

    def _checked(self, kind: str, name: str, part: str, read: Callable[[str], T]) -> T | None:
        # A repeated unit writes the same record, so a cached record is read again only if it does not match.
        for find in (_cached_record, Records.find):
            with suppress(FileNotFoundError):
                record = find(self, kind, name)
                if record is not None and part not in record.parts:
                    return None
                content = read(self._key(kind, name, part))
                if record is not None and sha256_of(content) == record.parts[part]["sha256"]:
                    return content
        self.invalidate(kind, name)
        raise StoreError(
            f"{self._key(kind, name, part)} in {self.url} is lost or damaged: its content is not what its record says. "
            "Check the disk, then run the same command again; that part is done anew."
        )

    def _key(self, kind: str, name: str, part: str) -> str:
        return f"{self.prefix}/{kind}/{name}.{part}"


@lru_cache(CACHED_RECORDS)
def _cached_record(records: Records, kind: str, name: str) -> Record:
    record = records.find(kind, name)
    if record is None:
        raise FileNotFoundError  # which is not cached
    return record
