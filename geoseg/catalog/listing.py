"""List the rasters under a prefix of a bucket or a web server."""

import re
from collections.abc import Iterator, Set
from pathlib import PurePosixPath
from urllib.parse import unquote, urljoin

from geoseg.config import SceneSettings
from geoseg.errors import SceneError
from geoseg.raster.source.address import locate
from geoseg.raster.source.remote_version import bucket_config, open_bucket, unreachable
from geoseg.stac.documents import read_bytes

_LINK = re.compile(rb"""<a\s[^>]*href\s*=\s*["']([^"'?#]+)["']""", re.IGNORECASE)


def is_prefix(url: str) -> bool:
    """Return whether a URL is a prefix and not a file: it ends with a slash."""
    return url.endswith("/")


def list_prefix(url: str, settings: SceneSettings, suffixes: Set[str]) -> Iterator[str]:
    """List the files with given suffixes under a prefix, sorted by name.

    All levels of a bucket are listed, and of a web server the links of its index page.

    Raises:
        SceneError: If the prefix is not allowed or cannot be listed.
        UnreachableError: If the server does not answer.
    """
    address = locate(url, remote=settings.remote, allow_private_hosts=settings.allow_private_hosts)
    names = _bucket(url) if address.name.startswith("/vsis3/") else _index(url, settings)
    yield from sorted(name for name in names if PurePosixPath(name).suffix.lower() in suffixes)


def _bucket(url: str) -> list[str]:
    from obstore.exceptions import BaseError  # noqa: PLC0415  most runs read local files

    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    try:
        pages = open_bucket(bucket, bucket_config()).list(prefix or None)
        return [f"s3://{bucket}/{entry['path']}" for page in pages for entry in page]
    except PermissionError as error:
        raise SceneError(
            f"{url} may not be listed: {error}. Give the files themselves, or other credentials."
        ) from error
    except (BaseError, FileNotFoundError) as error:
        raise unreachable(url, str(error).partition("\n")[0]) from error


def _index(url: str, settings: SceneSettings) -> set[str]:
    links = (urljoin(url, link.decode("utf-8", "replace")) for link in _LINK.findall(read_bytes(url, settings)))
    inside = {link for link in links if link.startswith(url) and ".." not in unquote(link)}
    if not inside:
        raise SceneError(
            f"{url} is no page that lists files. Give the files themselves, or a .txt file that lists them."
        )
    return inside
