"""Read JSON documents of a catalog: local files, and https:// and s3:// where they are allowed."""

import json
import posixpath
import time
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from geoseg.config import SceneSettings
from geoseg.errors import SceneError
from geoseg.raster.source.address import is_prefixed, locate
from geoseg.raster.source.env import network_setting
from geoseg.raster.source.remote_version import (
    MAX_TIMEOUT_S,
    RETRY_STATUS,
    bucket_config,
    credentials,
    open_bucket,
    opener,
    unreachable,
)

MAX_BYTES = 256 << 20
"""Largest document: an ItemCollection of 50,000 Items has about this size."""


def read_document(path: str, settings: SceneSettings) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: A local file, or a URL where ``scene.remote`` allows it; the rules are those of scenes.
        settings: ``remote`` and ``allow_private_hosts`` apply.

    Raises:
        SceneError: If the path is not allowed, cannot be read or holds no JSON object.
        UnreachableError: If a server does not answer, after all retries.
    """
    try:
        document = json.loads(read_bytes(path, settings))
    except (ValueError, RecursionError) as error:
        raise SceneError(f"{path} is not valid JSON: {error}. Fetch it again.") from error
    if not isinstance(document, dict):
        raise SceneError(f"{path} holds a {type(document).__name__}, not a STAC Item. Give the Item's own document.")
    return document


def read_bytes(path: str, settings: SceneSettings) -> bytes:
    """Read a whole document; errors as of `read_document`."""
    address = locate(path, remote=settings.remote, allow_private_hosts=settings.allow_private_hosts)
    if address.file is not None:
        file = Path(address.file)
        try:
            if file.stat().st_size > MAX_BYTES:
                raise SceneError(f"{path} is larger than {MAX_BYTES >> 20} MiB, too large for JSON. Split it.")
            return file.read_bytes()
        except OSError as error:
            raise SceneError(f"{path} cannot be read: {error.strerror or error}. Check the file.") from error
    if address.name.startswith("/vsis3/"):
        return _read_object(path, address.name)
    return _download(address.name.removeprefix("/vsicurl/"))


def absolute_href(href: str, document: str) -> str:
    """Resolve an href of a document.

    Raises:
        SceneError: If a document from the network names something that does not lie on the network.
    """
    if "://" in document:
        scheme, _, rest = document.partition("://")
        # urljoin knows no s3.
        href = urljoin(f"https://{rest}", href) if scheme != "s3" else _join_s3(document, href)
        href = f"http://{href.removeprefix('https://')}" if scheme == "http" and _same_host(href, rest) else href
        if not href.startswith(("https://", "http://", "s3://")):
            raise SceneError(
                f"{document} comes from the network and names {href}, which does not: a document of others must not "
                "choose files of this machine. Fetch it, and correct its hrefs."
            )
        return href
    return href if is_prefixed(href) or href.startswith("/") else str(Path(document).absolute().parent / href)


def _join_s3(document: str, href: str) -> str:
    if is_prefixed(href):
        return href
    bucket, _, key = document.removeprefix("s3://").partition("/")
    return f"s3://{bucket}/{posixpath.normpath(posixpath.join(posixpath.dirname(key), href)).lstrip('/')}"


def _same_host(url: str, rest: str) -> bool:
    return urlsplit(url).netloc == rest.partition("/")[0]


def _read_object(path: str, name: str) -> bytes:
    from obstore.exceptions import BaseError  # noqa: PLC0415  most documents are local files

    bucket, _, key = name.removeprefix("/vsis3/").partition("/")
    try:
        return bytes(open_bucket(bucket, bucket_config()).get(key).bytes())
    except FileNotFoundError as error:
        raise SceneError(f"{path} does not exist. Check the bucket and the key.") from error
    except (BaseError, PermissionError) as error:
        raise unreachable(path, str(error).partition("\n")[0]) from error


def _download(url: str) -> bytes:
    request = urllib.request.Request(url, headers={"Accept": "application/geo+json, application/json"})  # noqa: S310
    for key, value in credentials().items():
        request.add_unredirected_header(key, value)
    tries, delay_s = 1 + int(network_setting("GDAL_HTTP_MAX_RETRY")), network_setting("GDAL_HTTP_RETRY_DELAY")
    reason = ""
    for attempt in range(tries):
        if attempt:
            time.sleep(delay_s * 2 ** (attempt - 1))
        try:
            with opener().open(request, timeout=min(MAX_TIMEOUT_S, network_setting("GDAL_HTTP_TIMEOUT"))) as response:
                content: bytes = response.read(MAX_BYTES + 1)
        except urllib.error.HTTPError as error:
            reason = f"{error.code} {error.reason}"
            if error.code not in RETRY_STATUS:
                raise SceneError(f"{url} cannot be read: {reason}. Check the address and the credentials.") from error
        except (OSError, HTTPException, ValueError) as error:
            cause = getattr(error, "reason", error)
            reason = str(cause) or type(cause).__name__
        else:
            if len(content) > MAX_BYTES:
                raise SceneError(f"{url} is larger than {MAX_BYTES >> 20} MiB. Ask for fewer Items.")
            return content
    raise unreachable(url, reason)
