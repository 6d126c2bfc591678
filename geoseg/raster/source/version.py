"""The version of a file."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Version:
    """Version of a file. Directories and the query of a URL, which may hold a signature, do not belong to it."""

    name: str
    """File name without directories, so a scene that is moved with its sidecar files keeps its version."""
    size: int | None = None
    """Size in bytes; None if unknown."""
    content: str | None = None
    """Identifies the content. For a remote file the ETag, else the time; None if the server sends neither. For a local
    file the result of `geoseg.raster.source.content_digest.take_digest`; None until it is computed."""
    modified: int | None = None
    """Time of the last modification, in nanoseconds since 1970."""

    declared: bool = False
    """A catalog states size and content, so the server is not asked."""

    @property
    def is_known(self) -> bool:
        """Whether more than the name is known."""
        return self.size is not None or self.content is not None


@dataclass(frozen=True, slots=True)
class Response:
    """Result of one request for a file."""

    version: Version
    first_bytes: bytes = b""
    """Enough of them to recognise a format; empty if they are unknown or the file is local."""


def describe_change(before: Version, now: Version) -> str:
    """Describe how a file has changed, such as ``size same, modified 19:01, was 19:00``."""
    size = "size same" if now.size == before.size else f"size {now.size}, was {before.size}"
    if now.modified is None or before.modified is None:
        return f"{size}, {now.content}, was {before.content}"
    if now.modified == before.modified:
        return f"{size}, time same, other content"
    return f"{size}, modified {' was '.join(_times(now.modified, before.modified))}"


def _times(now_ns: int, before_ns: int) -> tuple[str, str]:
    """Format two times in the local time zone, in the shortest format in which they differ."""
    now, before = (datetime.fromtimestamp(ns / 1e9).astimezone() for ns in (now_ns, before_ns))
    for pattern in ("%H:%M", "%H:%M:%S") if now.date() == before.date() else ("%Y-%m-%d %H:%M",):
        if now.strftime(pattern) != before.strftime(pattern):
            return f"{now.strftime(pattern)},", before.strftime(pattern)
    return f"{now:%H:%M:%S.%f},", f"{before:%H:%M:%S.%f}"
