"""Remove what dead runs left in an output: `geoseg clean`."""

from dataclasses import dataclass

from geoseg.errors import SettingsError
from geoseg.run.lock import Lock
from geoseg.run.plan import new_run_id
from geoseg.run.storage import is_temporary, open_storage
from geoseg.run.store import WORK


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
