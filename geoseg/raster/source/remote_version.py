"""Request the version of a remote file from its server.

Requests use the credentials, proxy and timeouts of GDAL's environment variables, as GDAL does.
"""

import base64
import os
import ssl
import time
import urllib.error
import urllib.request
from configparser import ConfigParser, Error
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from http.client import HTTPException, HTTPMessage
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from geoseg.errors import UnreachableError
from geoseg.raster.source.env import network_setting
from geoseg.raster.source.version import Response, Version

FIRST_BYTES = 16
RETRY_STATUS = {408, 425, 429, 500, 502, 503, 504}
"""HTTP status codes after which a request is repeated."""
MAX_TIMEOUT_S = 30.0


def query_server(url: str) -> Response:
    """Request the version and the first bytes of a file from a web server, with a single request if it succeeds.

    If the server refuses the request or does not have the file, only the name is known.

    Raises:
        UnreachableError: If all attempts (``GDAL_HTTP_MAX_RETRY``) fail.
    """
    name = PurePosixPath(urlsplit(url).path).name
    # GET, not HEAD: a presigned URL allows GET only.
    request = urllib.request.Request(url, headers={"Range": f"bytes=0-{FIRST_BYTES - 1}"})  # noqa: S310  locate() has
    for key, value in credentials().items():  # must not be sent to a redirect's target
        request.add_unredirected_header(key, value)
    tries, delay_s = 1 + int(network_setting("GDAL_HTTP_MAX_RETRY")), network_setting("GDAL_HTTP_RETRY_DELAY")
    for attempt in range(tries):
        if attempt:
            time.sleep(delay_s * 2 ** (attempt - 1))
        try:
            with opener().open(request, timeout=min(MAX_TIMEOUT_S, network_setting("GDAL_HTTP_TIMEOUT"))) as response:
                return Response(_version(name, response.headers), response.read(FIRST_BYTES))
        except urllib.error.HTTPError as error:
            if error.code not in RETRY_STATUS:
                return Response(Version(name))
            reason = f"{error.code} {error.reason}"
        except (OSError, HTTPException, ValueError) as error:
            cause = getattr(error, "reason", error)
            if isinstance(cause, ssl.SSLCertVerificationError):  # GDAL may use other certificates
                return Response(Version(name))
            reason = str(cause) or type(cause).__name__
    raise unreachable(url, reason)


def query_bucket(file: str) -> Response:
    """Request the version of an object from S3; errors as of `query_server`.

    Args:
        file: ``/vsis3/BUCKET/KEY``.
    """
    import obstore  # noqa: PLC0415  most scenes are local files
    from obstore.exceptions import BaseError, NotFoundError, PermissionDeniedError, UnauthenticatedError  # noqa: PLC0415

    bucket, _, key = file.removeprefix("/vsis3/").partition("/")
    name = PurePosixPath(key).name
    try:
        meta = obstore.head(open_bucket(bucket, bucket_config()), key)
    except (FileNotFoundError, NotFoundError, PermissionDeniedError, UnauthenticatedError):
        return Response(Version(name))
    except BaseError as error:
        text = str(error)
        if "latest/" in text or "redirect" in text:  # no credentials, or another region
            return Response(Version(name))
        raise unreachable(f"s3://{bucket}/{key}", text.partition("\n")[0]) from error
    modified = int(meta["last_modified"].timestamp() * 1e9)
    return Response(Version(name, meta["size"], meta["e_tag"] or _time_text(modified), modified))


def unreachable(url: str, reason: str) -> UnreachableError:
    """The error of a server that does not answer."""
    return UnreachableError(
        f"{url} cannot be reached: {reason.rstrip('.')}. Finished work is kept: run the same command again when the "
        "server answers. GDAL_HTTP_MAX_RETRY and GDAL_HTTP_RETRY_DELAY set how long to try."
    )


def _version(name: str, headers: HTTPMessage) -> Version:
    size = headers.get("Content-Range", "").rpartition("/")[2] or headers.get("Content-Length", "")
    try:
        modified = int(parsedate_to_datetime(headers["Last-Modified"]).timestamp() * 1e9)
    except (TypeError, ValueError):
        modified = None
    content = headers.get("ETag") or (None if modified is None else _time_text(modified))
    return Version(name, int(size) if size.isdecimal() else None, content, modified)


def _time_text(modified_ns: int) -> str:
    return datetime.fromtimestamp(modified_ns / 1e9, UTC).isoformat(timespec="seconds")


def credentials() -> dict[str, str]:
    """Headers of GDAL's variables; they must not be sent to the target of a redirect."""
    headers = {}
    for line in os.environ.get("GDAL_HTTP_HEADERS", "").split(","):
        key, colon, value = line.partition(":")
        if colon:
            headers[key.strip()] = value.strip()
    if pair := os.environ.get("GDAL_HTTP_USERPWD"):
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    if token := os.environ.get("GDAL_HTTP_BEARER"):
        headers["Authorization"] = f"Bearer {token}"
    return headers


def opener() -> urllib.request.OpenerDirector:
    """Opens URLs through the proxy of GDAL's variables."""
    proxy = os.environ.get("GDAL_HTTP_PROXY")
    secure = os.environ.get("GDAL_HTTPS_PROXY", proxy)
    named = {scheme: address for scheme, address in (("http", proxy), ("https", secure)) if address}
    return urllib.request.build_opener(*([urllib.request.ProxyHandler(named)] if named else []))


def bucket_config() -> tuple[tuple[str, str], ...]:
    """Translate GDAL's S3 variables to the options of obstore, which have other names."""
    config = {"region": os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"}
    scheme = "http" if _is_off("AWS_HTTPS") else "https"
    if endpoint := os.environ.get("AWS_S3_ENDPOINT"):
        config["endpoint"] = endpoint if "://" in endpoint else f"{scheme}://{endpoint}"
    elif os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"):  # for the output; not GDAL's
        config["endpoint"] = f"https://s3.{config['region']}.amazonaws.com"
    if _is_on("AWS_NO_SIGN_REQUEST"):
        config["skip_signature"] = "true"
    if os.environ.get("AWS_REQUEST_PAYER"):
        config["request_payer"] = "true"
    if "AWS_ACCESS_KEY_ID" not in os.environ:
        config |= _profile()
    return tuple(config.items())


def _profile() -> dict[str, str]:
    """Credentials from the file that GDAL and the AWS tools read."""
    file = os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")
    parser, section = ConfigParser(interpolation=None), os.environ.get("AWS_PROFILE", "default")
    try:
        parser.read(Path(file).expanduser())
        entries = dict(parser[section]) if section in parser else {}
    except (OSError, Error, UnicodeDecodeError, RuntimeError):
        return {}
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    return {name: entries[name] for name in names if name in entries}


def _is_on(variable: str) -> bool:
    return os.environ.get(variable, "").upper() in {"YES", "TRUE", "ON", "1"}


def _is_off(variable: str) -> bool:
    return os.environ.get(variable, "").upper() in {"NO", "FALSE", "OFF", "0"}


@lru_cache(maxsize=16)
def open_bucket(bucket: str, config: tuple[tuple[str, str], ...]) -> Any:
    """A bucket as a store of obstore; ``config`` is that of `bucket_config`."""
    from obstore.store import S3Store  # noqa: PLC0415

    named: Any = dict(config)
    limit_s = min(MAX_TIMEOUT_S, network_setting("GDAL_HTTP_TIMEOUT"))
    return S3Store(
        bucket,
        config=named,
        client_options={"allow_http": True, "connect_timeout": "10s", "timeout": f"{max(1, int(limit_s))}s"},
        retry_config={
            "max_retries": int(network_setting("GDAL_HTTP_MAX_RETRY")),
            "retry_timeout": timedelta(seconds=limit_s),
        },
    )
