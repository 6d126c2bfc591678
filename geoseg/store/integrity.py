"""Find files of a published scene that are missing or changed.

Sizes are always compared. The sha256 is compared on demand, and if the file was changed after its manifest, which a
commit writes last. So a file that a program has changed is found, even if its old time was restored; a file that the
disk has damaged is found on demand only. In a copy of an output all files are read at each start, unless the manifests
were copied last.
"""

from geoseg.store.manifest import Manifest, manifest_key
from geoseg.store.scene_store import WORK
from geoseg.store.storages.base import Storage, sha256_of


def find_losses(storage: Storage, scene_id: str, manifest: Manifest, *, verify: bool = False) -> list[str]:
    """Find files of a manifest that are missing in the output or have another content.

    Args:
        storage: The output.
        scene_id: The scene.
        manifest: Its manifest.
        verify: Whether to read all files, also those older than the manifest.

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
    with storage.scratch(f"{WORK}/{scene_id}") as folder:
        return sha256_of(storage.fetch(key, folder))
