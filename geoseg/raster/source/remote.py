"""What servers say of the files they hold: which version each is.

They are asked as GDAL asks them: with the credentials, the proxy and the patience that its variables name.
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
from geoseg.raster.source.env import patience
from geoseg.raster.source.version import Answer, Version

START_BYTES = 16
_NOT_NOW = {408, 425, 429, 500, 502, 503, 504}
"""Answers of a server that may give another in a moment."""
_MOST_S = 30.0


def ask_server(url: str) -> Answer:
    """Ask a web server for the version of a file and its first bytes, with one request if it answers.

    A server that refuses, or knows nothing of the file, leaves it at its name.

    Raises:
        UnreachableError: If there is no answer, also when it is asked again (``GDAL_HTTP_MAX_RETRY``).
    """
    name = PurePosixPath(urlsplit(url).path).name
    # Not a HEAD: a presigned address allows a GET alone.
    request = urllib.request.Request(url, headers={"Range": f"bytes=0-{START_BYTES - 1}"})  # noqa: S310  locate() has
    for key, value in _credentials().items():  # not to be sent to where the server redirects
        request.add_unredirected_header(key, value)
    tries, delay_s = 1 + int(patience("GDAL_HTTP_MAX_RETRY")), patience("GDAL_HTTP_RETRY_DELAY")
    for attempt in range(tries):
        if attempt:
            time.sleep(delay_s * 2 ** (attempt - 1))
        try:
            with _opener().open(request, timeout=min(_MOST_S, patience("GDAL_HTTP_TIMEOUT"))) as answer:
                return Answer(_version(name, answer.headers), answer.read(START_BYTES))
        except urllib.error.HTTPError as error:
            if error.code not in _NOT_NOW:
                return Answer(Version(name))
            reason = f"{error.code} {error.reason}"
        except (OSError, HTTPException, ValueError) as error:
            cause = getattr(error, "reason", error)
            if isinstance(cause, ssl.SSLCertVerificationError):  # GDAL may know better
                return Answer(Version(name))
            reason = str(cause) or type(cause).__name__
    raise _unreachable(url, reason)


def ask_bucket(file: str) -> Answer:
    """Ask S3 for the version of an object; errors as of `ask_server`.

    Args:
        file: ``/vsis3/BUCKET/KEY``.
    """
    import obstore  # noqa: PLC0415  most scenes lie on a disk
    from obstore.exceptions import BaseError, NotFoundError, PermissionDeniedError, UnauthenticatedError  # noqa: PLC0415

    bucket, _, key = file.removeprefix("/vsis3/").partition("/")
    name = PurePosixPath(key).name
    try:
        found = obstore.head(_open(bucket, _bucket_config()), key)
    except (FileNotFoundError, NotFoundError, PermissionDeniedError, UnauthenticatedError):
        return Answer(Version(name))
    except BaseError as error:
        text = str(error)
        if "latest/" in text or "redirect" in text:  # no credentials, or another region
            return Answer(Version(name))
        raise _unreachable(f"s3://{bucket}/{key}", text.partition("\n")[0]) from error
    modified = int(found["last_modified"].timestamp() * 1e9)
    return Answer(Version(name, found["size"], found["e_tag"] or _time_text(modified), modified))


def _unreachable(url: str, reason: str) -> UnreachableError:
    return UnreachableError(
        f"{url} cannot be reached: {reason.rstrip('.')}. What is done is kept: run the same command again when the "
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


def _credentials() -> dict[str, str]:
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


def _opener() -> urllib.request.OpenerDirector:
    proxy = os.environ.get("GDAL_HTTP_PROXY")
    secure = os.environ.get("GDAL_HTTPS_PROXY", proxy)
    named = {scheme: address for scheme, address in (("http", proxy), ("https", secure)) if address}
    return urllib.request.build_opener(*([urllib.request.ProxyHandler(named)] if named else []))


def _bucket_config() -> tuple[tuple[str, str], ...]:
    """GDAL's variables of S3 in the words of obstore, which knows some of them by other names."""
    config = {"region": os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"}
    scheme = "http" if _is_off("AWS_HTTPS") else "https"
    if endpoint := os.environ.get("AWS_S3_ENDPOINT"):
        config["endpoint"] = endpoint if "://" in endpoint else f"{scheme}://{endpoint}"
    elif os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"):  # of the output; GDAL ignores it
        config["endpoint"] = f"https://s3.{config['region']}.amazonaws.com"
    if _is_on("AWS_NO_SIGN_REQUEST"):
        config["skip_signature"] = "true"
    if os.environ.get("AWS_REQUEST_PAYER"):
        config["request_payer"] = "true"
    if "AWS_ACCESS_KEY_ID" not in os.environ:
        config |= _profile()
    return tuple(config.items())


def _profile() -> dict[str, str]:
    """Credentials of the file that GDAL and AWS's own tools read."""
    file = os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")
    parser, section = ConfigParser(interpolation=None), os.environ.get("AWS_PROFILE", "default")
    try:
        parser.read(Path(file).expanduser())
        found = dict(parser[section]) if section in parser else {}
    except (OSError, Error, UnicodeDecodeError, RuntimeError):
        return {}
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    return {name: found[name] for name in names if name in found}


def _is_on(variable: str) -> bool:
    return os.environ.get(variable, "").upper() in {"YES", "TRUE", "ON", "1"}


def _is_off(variable: str) -> bool:
    return os.environ.get(variable, "").upper() in {"NO", "FALSE", "OFF", "0"}


@lru_cache(maxsize=16)
def _open(bucket: str, config: tuple[tuple[str, str], ...]) -> Any:
    from obstore.store import S3Store  # noqa: PLC0415

    named: Any = dict(config)
    limit_s = min(_MOST_S, patience("GDAL_HTTP_TIMEOUT"))
    return S3Store(
        bucket,
        config=named,
        client_options={"allow_http": True, "connect_timeout": "10s", "timeout": f"{max(1, int(limit_s))}s"},
        retry_config={
            "max_retries": int(patience("GDAL_HTTP_MAX_RETRY")),
            "retry_timeout": timedelta(seconds=limit_s),
        },
    )
