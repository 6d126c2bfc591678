"""Whether the files of a published scene are still those that were published.

Sizes are always compared. What a file holds is compared too, by its sha256, if it was written or changed after its
manifest, which is the last object that a commit puts in its place; or in any case on demand. So a file that a program
has changed is read and found, even if it was given its old time back; one that the disk itself has spoilt is found on
demand alone. A copy of an output is read again at each start, unless its manifests were copied last.
"""

import hashlib

from geoseg.store.manifest import Manifest, manifest_key
from geoseg.store.scene_store import WORK
from geoseg.store.storages.base import Storage


def find_losses(storage: Storage, scene_id: str, manifest: Manifest, *, verify: bool = False) -> list[str]:
    """Find files that a manifest names and the output holds no longer, or with another content.

    Args:
        storage: The output.
        scene_id: The scene.
        manifest: What is published of it.
        verify: Read all files, also those that are older than the manifest.

    Returns:
        Their keys.
    """
    published = storage.times(manifest_key(scene_id)) or ()
    lost = []
    for key, facts in manifest.files.items():
        times = storage.times(key)
        if times is None or storage.size(key) != facts["bytes"]:
            lost.append(key)
            continue
        newer = len(published) != len(times) or any(time > limit for time, limit in zip(times, published, strict=True))
        if (verify or newer) and _sha256(storage, scene_id, key) != facts["sha256"]:
            lost.append(key)
    return lost


def _sha256(storage: Storage, scene_id: str, key: str) -> str:
    with storage.scratch(f"{WORK}/{scene_id}") as folder, storage.fetch(key, folder).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
