"""Remove what dead runs left in an output: `geoseg clean`."""

from dataclasses import dataclass

from geoseg.errors import SettingsError
from geoseg.store.lock import Lock, new_run_id
from geoseg.store.scene_store import WORK
from geoseg.store.storages.base import is_temporary
from geoseg.store.storages.opening import open_storage


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What was removed."""

    scenes: tuple[str, ...]
    """Scenes whose unfinished work is gone: the next run does them from the start."""
    files: int
    bytes: int


def clean(output: str) -> Cleaned:
    """Remove all unfinished work of an output, and temporary files wherever they lie. What is published stays.

    Raises:
        SettingsError: If there is no such output, or a run works on it.
    """
    storage = open_storage(output)
    if not storage.sizes():
        raise SettingsError(f"{storage.url} holds nothing. Give the folder, or s3://BUCKET/PREFIX, that a run wrote.")
    with Lock(storage, new_run_id()):
        left = {key: size for key, size in storage.sizes().items() if is_temporary(key) or key.startswith(f"{WORK}/")}
        folders = {key.split("/")[1] for key in left if key.startswith(f"{WORK}/")}
        scenes = sorted(name for name in folders if not is_temporary(name))
        for scene in scenes:
            storage.delete_all(f"{WORK}/{scene}")
        for key in left:
            if is_temporary(key):
                storage.delete(key)
    return Cleaned(tuple(scenes), len(left), sum(left.values()))
