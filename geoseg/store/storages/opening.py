"""Open the storage of an output by its URL."""

import re
from pathlib import Path

from geoseg.errors import SettingsError
from geoseg.store.storages.base import Storage


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
