"""What tells one version of a file from another."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Version:
    """Which version of a file this is. Directories and the query of a URL, where signatures stand, do not count."""

    name: str
    """Its name without directories; a scene that is moved together with its sidecars stays the same."""
    size: int | None = None
    """In bytes; None if it is not known."""
    content: str | None = None
    """What changes with its content. Of a remote file its ETag, or else its time; None if the server tells neither.
    Of a local one `geoseg.raster.source.content.take_digest`; None until that was asked for."""
    modified: int | None = None
    """When it was last changed, in nanoseconds since 1970."""

    @property
    def is_known(self) -> bool:
        """Whether more than its name was found out."""
        return self.size is not None or self.content is not None


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request tells of a file."""

    version: Version
    start: bytes = b""
    """Its first bytes, as many as a format is recognized by; empty if nothing more is known, or it is local."""


def describe_change(before: Version, now: Version) -> str:
    """In which way a file has changed, such as ``size same, modified 19:01, was 19:00``."""
    size = "size same" if now.size == before.size else f"size {now.size}, was {before.size}"
    if now.modified is None or before.modified is None:
        return f"{size}, {now.content}, was {before.content}"
    if now.modified == before.modified:
        return f"{size}, time same, other content"
    return f"{size}, modified {' was '.join(_times(now.modified, before.modified))}"


def _times(now_ns: int, before_ns: int) -> tuple[str, str]:
    """Two times of this machine's clock, as short as they differ."""
    now, before = (datetime.fromtimestamp(ns / 1e9).astimezone() for ns in (now_ns, before_ns))
    for pattern in ("%H:%M", "%H:%M:%S") if now.date() == before.date() else ("%Y-%m-%d %H:%M",):
        if now.strftime(pattern) != before.strftime(pattern):
            return f"{now.strftime(pattern)},", before.strftime(pattern)
    return f"{now:%H:%M:%S.%f},", f"{before:%H:%M:%S.%f}"
