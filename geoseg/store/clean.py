"""Remove unfinished work and temporary files from an output: `geoseg clean`."""

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
    """Scenes whose unfinished work was removed: the next run starts them again."""
    files: int
    bytes: int


def clean(output: str) -> Cleaned:
    """Remove all unfinished work and all temporary files of an output. Published files stay.

    Raises:
        SettingsError: If there is no such output, or a run works on it.
    """
    storage = open_storage(output)
    if not storage.sizes():
        raise SettingsError(f"{storage.url} holds nothing. Give the folder, or s3://BUCKET/PREFIX, that a run wrote.")
    with Lock(storage, new_run_id()):
        removable = {
            key: size for key, size in storage.sizes().items() if is_temporary(key) or key.startswith(f"{WORK}/")
        }
        folders = {key.split("/")[1] for key in removable if key.startswith(f"{WORK}/")}
        scenes = sorted(name for name in folders if not is_temporary(name))
        for scene in scenes:
            storage.delete_all(f"{WORK}/{scene}")
        for key in removable:
            if is_temporary(key):
                storage.delete(key)
    return Cleaned(tuple(scenes), len(removable), sum(removable.values()))
