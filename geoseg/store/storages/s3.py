"""Objects in an S3 bucket, or in a compatible store.

Credentials, region and endpoint come from the environment (``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``,
``AWS_SESSION_TOKEN``, ``AWS_REGION``, ``AWS_ENDPOINT_URL``, or the role of the machine), separately on every node: only
bucket and prefix are sent to workers.
"""

import errno
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

from geoseg import faults
from geoseg.errors import SettingsError
from geoseg.store.storages.base import Buffer, checked, is_temporary, temporary_name

if TYPE_CHECKING:  # the library defines it for type checkers only
    from obstore import ObjectMeta

# Requests are small, so that a long one can be treated as hanging.
PART_BYTES = 16 << 20
LARGEST_COPY_BYTES = 256 << 20  # the server answers only after the copy
MOST_PARTS = 10_000  # S3's limit of one object
NO_CREDENTIALS = "the environment holds no credentials (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)"
BAD_CREDENTIALS = "the credentials are not accepted"
NO_BUCKET = "<Code>NoSuchBucket</Code>"
REASONS = {
    "latest/api/token": NO_CREDENTIALS,  # the last place to look for them
    "latest/meta-data": NO_CREDENTIALS,
    NO_BUCKET: "there is no such bucket",
    "<Code>ExpiredToken": "the credentials have expired",
    "<Code>RequestTimeTooSkewed": "this machine's clock is wrong",
    "<Code>InvalidAccessKeyId": BAD_CREDENTIALS,
    "<Code>SignatureDoesNotMatch": BAD_CREDENTIALS,
    "<Code>InvalidToken": BAD_CREDENTIALS,
    "401 Unauthorized": BAD_CREDENTIALS,
    "403 Forbidden": "access is denied",
    "redirect": "the bucket lies in another region than AWS_REGION says",
}
"""Parts of the store's messages and their meaning; the first match is shown."""


@dataclass(frozen=True, slots=True)
class S3Storage:
    """A folder in a bucket. See `geoseg.store.storages.base.Storage` for its methods."""

    bucket: str
    """Name of the bucket."""
    prefix: str = ""
    """Folder in the bucket; '' for all of it."""
    scratch_dir: str | None = field(default=None, compare=False)
    """Folder of this machine for temporary files; None for the system's folder."""

    @classmethod
    def of(cls, url: str, scratch_dir: str | None = None) -> "S3Storage":
        """Read ``s3://bucket/prefix``.

        Raises:
            SettingsError: If it is not of that form.
        """
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        prefix = prefix.rstrip("/")
        try:
            checked(prefix or "all")
        except ValueError as error:
            raise SettingsError(f"The output is no S3 folder: {error}. Give --output s3://bucket/folder.") from error
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]", bucket):
            shown = bucket.rpartition("@")[2]  # the part before @ may be a secret
            raise SettingsError(
                f"The output names the bucket '{shown}', which S3 cannot have. Give s3://bucket/folder."
            )
        return cls(bucket, prefix, scratch_dir)

    @property
    def url(self) -> str:
        """The folder as s3://bucket/prefix."""
        return "/".join(filter(None, (f"s3://{self.bucket}", self.prefix)))

    def put(self, key: str, data: Buffer, *, sync: bool = True) -> None:  # noqa: ARG002 -- S3 always does
        """Upload the object in one request, or as a multipart upload."""
        faults.hit("put", "before-rename", key)
        with self._explaining(checked(key)) as store:
            obstore.put(store, key, data, chunk_size=PART_BYTES)

    def create(self, key: str, data: bytes) -> bool:
        """Upload the object on condition that none exists."""
        with self._explaining(checked(key)) as store:
            try:
                obstore.put(store, key, data, mode="create")
            except AlreadyExistsError:
                return False
            return True

    def get(self, key: str) -> bytes:
        """Download the object."""
        return b"".join(self._parts(key))

    def size(self, key: str) -> int | None:
        """Size from the object's header."""
        found = self._head(key)
        return None if found is None else found["size"]

    def times(self, key: str) -> tuple[int, ...] | None:
        """Time of the upload, in whole seconds."""
        found = self._head(key)
        return None if found is None else (int(found["last_modified"].timestamp() * 1e9),)

    def keys(self, prefix: str) -> list[str]:
        """List the folder."""
        return sorted(key for key in self.sizes(prefix) if not is_temporary(key))

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """List the folder."""
        with self._explaining(checked(prefix) if prefix else "") as store:
            return {meta["path"]: meta["size"] for chunk in obstore.list(store, prefix or None) for meta in chunk}

    def folders(self, prefix: str) -> list[str]:
        """List the folder down to the next '/'."""
        with self._explaining(checked(prefix)) as store:
            paths = obstore.list_with_delimiter(store, prefix)["common_prefixes"]
        return sorted(name for path in paths if not is_temporary(name := path.rstrip("/").rpartition("/")[2]))

    def delete(self, key: str) -> None:
        """Delete the object."""
        with self._explaining(checked(key)) as store:
            obstore.delete(store, key)

    def delete_all(self, prefix: str) -> None:
        """List the folder and delete what is in it."""
        keys = list(self.sizes(checked(prefix)))
        with self._explaining(prefix) as store:
            if keys:
                obstore.delete(store, keys)

    def retire(self, key: str, folder: str) -> None:
        """Check the folder and delete the object: two requests, because S3 has no conditional delete across keys."""
        checked(key)
        if not self.sizes(checked(folder)):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), f"{self.url}/{folder}")
        self.delete(key)

    def move(self, source: str, target: str) -> None:
        """Copy within the store and delete; a large object is downloaded and uploaded."""
        checked(target)
        faults.hit("put", "before-rename", target)
        if (self.size(source) or 0) > LARGEST_COPY_BYTES:
            # Through a file: the library cannot read from the store while it uploads.
            with tempfile.TemporaryDirectory(prefix="geoseg-", dir=self.scratch_dir) as folder:
                self.upload(self.fetch(source, Path(folder)), target)
        else:
            with self._explaining(source) as store:
                obstore.copy(store, source, target)
        self.delete(source)

    def age_s(self, key: str) -> float | None:
        """Compare with a probe written beside the object; S3 counts whole seconds."""
        probe = "/".join([*checked(key).split("/")[:-1], temporary_name()])
        found = self._head(key)
        if found is None:
            return None
        with self._explaining(probe) as store:
            obstore.put(store, probe, b"geoseg")
            now = obstore.head(store, probe)["last_modified"]
            obstore.delete(store, probe)
        return max(0.0, (now - found["last_modified"]).total_seconds())

    @contextmanager
    def scratch(self, prefix: str) -> Iterator[Path]:
        """Create a folder among this machine's temporary files."""
        checked(prefix)
        with tempfile.TemporaryDirectory(prefix="geoseg-", dir=self.scratch_dir) as folder:
            yield Path(folder)

    def upload(self, file: Path, key: str) -> None:
        """Upload the file in parts, and compare the sizes."""
        size = file.stat().st_size
        faults.hit("put", "before-rename", key)
        with self._explaining(checked(key)) as store:
            obstore.put(store, key, file, chunk_size=max(PART_BYTES, -(-size // MOST_PARTS)), max_concurrency=4)
            stored = obstore.head(store, key)["size"]
        if stored != size:
            raise OSError(errno.EIO, f"{stored} of {size} bytes arrived", f"{self.url}/{key}")

    def fetch(self, key: str, folder: Path) -> Path:
        """Download the object part by part."""
        file = folder / temporary_name()
        try:
            with file.open("xb") as target:
                for part in self._parts(key):
                    target.write(part)
        except BaseException:
            file.unlink(missing_ok=True)
            raise
        return file

    def _head(self, key: str) -> "ObjectMeta | None":
        try:
            with self._explaining(checked(key)) as store:
                return obstore.head(store, key)
        except FileNotFoundError:
            return None

    def _parts(self, key: str) -> Iterator[bytes]:
        with self._explaining(checked(key)) as store:
            whole = obstore.get(store, key)
            size, version = whole.meta["size"], whole.meta["e_tag"]
            if size <= PART_BYTES:
                yield bytes(whole.bytes())
                return
            for start in range(0, size, PART_BYTES):
                part = (start, min(start + PART_BYTES, size))
                # The condition excludes parts of two versions if the object is replaced meanwhile.
                yield bytes(obstore.get(store, key, options={"range": part, "if_match": version}).bytes())

    @contextmanager
    def _explaining(self, key: str) -> Iterator[S3Store]:
        place = f"{self.url}/{key}"
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        try:
            yield _open(self.bucket, self.prefix, endpoint)
        except FileNotFoundError as error:
            if NO_BUCKET in str(error):
                raise OSError(errno.EIO, REASONS[NO_BUCKET], place) from error
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), place) from error
        except BaseError as error:
            raise OSError(errno.EIO, _reason(str(error), endpoint), place) from error


@lru_cache(maxsize=8)
def _open(bucket: str, prefix: str, endpoint: str | None) -> S3Store:
    # The library panics for an address without a host.
    if endpoint is not None and not (endpoint.startswith(("http://", "https://")) and urlsplit(endpoint).hostname):
        raise SettingsError(f"AWS_ENDPOINT_URL is '{endpoint}', which is no address. Give it as https://host:port.")
    # One attempt takes 30 s at most, and none starts after 25 s: a store that does not answer is reported in a minute.
    return S3Store(
        bucket,
        prefix=prefix or None,
        config={"endpoint": endpoint} if endpoint else {},
        client_options={"allow_http": True, "connect_timeout": "5s", "timeout": "30s"},
        retry_config={"max_retries": 8, "retry_timeout": timedelta(seconds=25)},
    )


def _reason(message: str, endpoint: str | None) -> str:
    for sign, meaning in REASONS.items():
        if sign in message:
            return meaning
    reason = f"no answer from {endpoint or 'S3'}" if "HTTP error" in message else message.partition("\n")[0]
    return re.sub(r"//[^/]*@", "//", reason)
