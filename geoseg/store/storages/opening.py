"""Open the storage of an output by its URL, and check it."""

import re
from pathlib import Path

from geoseg.errors import SettingsError
from geoseg.store.storages.base import Storage, temporary_name


def open_storage(url: str, scratch_dir: str | None = None) -> Storage:
    """Open the output that ``--output`` names: a path, or ``s3://bucket/prefix``.

    Args:
        url: The output.
        scratch_dir: Folder in which files for a bucket are built; None for the system's folder for temporary files.

    Raises:
        SettingsError: If it is neither.
    """
    if url.startswith("s3://"):
        from geoseg.store.storages.s3 import S3Storage  # noqa: PLC0415 -- most runs write to a disk

        return S3Storage.of(url, scratch_dir)
    if not url.strip() or "://" in url or url.startswith("/vsi"):
        shown = re.sub(r"//[^/]*@", "//", url)
        raise SettingsError(f"The output '{shown}' is neither a local path nor s3://bucket/folder. Give --output one.")
    from geoseg.store.storages.local import LocalStorage  # noqa: PLC0415 -- needed for local outputs only

    return LocalStorage(Path(url).absolute())


def check_writable(storage: Storage) -> None:
    """Write a probe, read it back and delete it.

    Raises:
        SettingsError: If that fails.
    """
    probe = temporary_name()
    try:
        storage.put(probe, b"geoseg")
        storage.get(probe)
        storage.delete(probe)
    except OSError as error:
        remedy = "a directory you may write to."
        if storage.url.startswith("s3://"):
            remedy = (
                "a bucket you may write to; credentials, region and endpoint are taken from the environment (AWS_...)."
            )
        raise SettingsError(
            f"The output {storage.url} cannot be written: {error.strerror}. Give --output {remedy}"
        ) from error
