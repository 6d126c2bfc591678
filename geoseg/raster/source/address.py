"""Allowed names of a scene: a local file, a raster inside one, or, where permitted, a file on a public host.

GDAL itself accepts more: archives, memory, standard input, inline XML, web services, nested names.
"""

import errno
import glob
import ipaddress
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from geoseg.errors import SceneError

_INSIDE_A_FILE = re.compile(r"(GTIFF_DIR:\d+:|NITF_IM:\d+:)(.+)", re.DOTALL)
_REMOTE = re.compile(r"(?:https?|s3)://", re.IGNORECASE)
_PREFIXED = re.compile(r"/vsi|<|\w[\w+.-]*:")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]*")
_AZURE_METADATA = ipaddress.ip_address("168.63.129.16")
"""Azure's metadata service, the only one of a large cloud with an address in a public range."""


@dataclass(frozen=True, slots=True)
class Address:
    """Location of a raster."""

    name: str
    """GDAL's name; absolute if it is a local file."""
    stem: str
    """File name without suffix, directories and URL query."""
    remote: bool = False
    """The raster is read over the network."""
    file: str | None = None
    """Local file that holds the raster; None if it is remote."""


def locate(
    path: str | Path, *, remote: bool = False, allow_private_hosts: bool = False, public: set[str] | None = None
) -> Address:
    """Resolve a path, and refuse what geoseg does not open.

    Args:
        path: A local file, ``GTIFF_DIR:n:FILE``, ``NITF_IM:n:FILE``, or an ``https://`` or ``s3://`` URL.
        remote: Allow URLs.
        allow_private_hosts: Allow ``http://``, and hosts in private networks, on this machine and of metadata services.
        public: Hosts already known to be public, which are not resolved again; new ones are added.

    Raises:
        SceneError: If the file does not exist, or the path is of another kind or not allowed.
    """
    text = str(path)
    if _exists(text):
        return _local_address("", text, text)
    if (inside := _INSIDE_A_FILE.fullmatch(text)) and _exists(inside[2]):
        return _local_address(inside[1], inside[2], text)
    if _REMOTE.match(text):
        if not remote:
            raise SceneError(
                f"{text} lies on another machine, and scene.remote=false. Give --remote (scene.remote: true) to read "
                "it over the network, or fetch the file."
            )
        return _remote_address(text, allow_private_hosts, set() if public is None else public)
    if is_prefixed(text):
        raise SceneError(
            f"{text} is neither a file that exists here nor a name that geoseg opens. Give a local file, a raster "
            "inside one (GTIFF_DIR:n:FILE, NITF_IM:n:FILE), or with --remote an https:// or s3:// URL."
        )
    raise SceneError(f"{text} {_explain_missing(text)}")


def is_prefixed(path: str) -> bool:
    """Return whether GDAL interprets a path as something else than a plain file name."""
    return _PREFIXED.match(path) is not None


def is_missing(path: str) -> bool:
    """Return whether a path is a plain file name of a file that does not exist."""
    return not _exists(path) and not is_prefixed(path)


def _exists(path: str) -> bool:
    # os.path returns False for names that the file system refuses, such as overlong ones; pathlib raises.
    return os.path.exists(path)  # noqa: PTH110


def _explain_missing(path: str) -> str:
    """Explain why a path cannot be read, and what to do."""
    try:
        os.stat(path)  # noqa: PTH116  pathlib would normalise the path
    except ValueError:
        return "holds a zero byte, which no path may. Check the path."
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):
            return f"cannot be reached: {error.strerror}. Check the path, its links and the rights to its folders."
    if not glob.has_magic(path):
        return "does not exist or cannot be reached from this machine. Check the path."
    matches = sorted(glob.glob(path))  # noqa: PTH207  as above
    shown = f", such as {matches[0]}" if matches else ""
    count = f"{len(matches)} file{'s' * (len(matches) != 1)}" if matches else "no file"
    return (
        f"does not exist: it is a pattern, which matches {count} here{shown}. Patterns are for the shell: give it "
        "without quotes on the command line, or list the files under scenes: in a --config file."
    )


def _local_address(prefix: str, path: str, given: str) -> Address:
    absolute = Path(path).absolute()
    try:
        str(absolute).encode()
    except UnicodeEncodeError:
        raise SceneError(f"{given} has a name that is not UTF-8. Rename it.") from None
    if str(absolute).startswith("/vsi"):
        raise SceneError(f"{given} begins like a virtual file system of GDAL. Give the file by another path.")
    if not (absolute.is_file() or absolute.is_dir()):
        raise SceneError(f"{given} is no regular file but a device, a pipe or a socket. Copy it to a file first.")
    return Address(f"{prefix}{absolute}", absolute.stem, file=str(absolute))


def _remote_address(url: str, allow_private_hosts: bool, public: set[str]) -> Address:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError as error:
        raise SceneError(f"{url} is not a URL: {error}. Correct it.") from error
    if "@" in parts.netloc or not (parts.netloc if parts.scheme == "s3" else host):
        raise SceneError(
            f"{url} holds a user name, or no host. Leave credentials out of the address: set AWS_* variables for "
            "s3://, GDAL_HTTP_USERPWD or GDAL_HTTP_HEADERS for https://, or use a presigned URL."
        )
    stem = PurePosixPath(unquote(parts.path)).stem
    if parts.scheme == "s3":
        if not _BUCKET.fullmatch(parts.netloc):
            raise SceneError(f"{url} does not name a bucket: {parts.netloc!r}. Write s3://BUCKET/KEY.")
        return Address("/vsis3/" + url[len("s3://") :], stem, remote=True)
    if not allow_private_hosts:
        if parts.scheme == "http":
            raise SceneError(
                f"{url} would be read unencrypted. Use https://, or set scene.allow_private_hosts=true (polygonize: "
                "--allow-private-hosts) if the host is in your own network."
            )
        if host not in public:
            _refuse_private(url, host)
            public.add(host)
    return Address(f"/vsicurl/{url}", stem, remote=True)


def _refuse_private(url: str, host: str) -> None:
    """Refuse a host that is not reachable from the public internet.

    A host that cannot be resolved here is left to GDAL, which may use a proxy.
    """
    try:
        addresses = {entry[4][0] for entry in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        addresses = set()
    for text in addresses:
        address = ipaddress.ip_address(str(text).partition("%")[0])
        address = getattr(address, "ipv4_mapped", None) or address
        if not address.is_global or address.is_multicast or address == _AZURE_METADATA:
            raise SceneError(
                f"{url} lies on {host} ({address}), which is not a public host. Set scene.allow_private_hosts=true "
                "(polygonize: --allow-private-hosts) if you mean to read from your own network."
            )
    if not addresses and re.search(r"(^|\.)(localhost|local|internal)\.?$", host):
        raise SceneError(
            f"{url} lies on {host}, a name of private networks. Set scene.allow_private_hosts=true (polygonize: "
            "--allow-private-hosts) if you mean it."
        )
