"""Remove what dead runs left in an output: `geoseg clean`."""

from dataclasses import dataclass

from geoseg.run.lock import LOCK_KEY, Lock
from geoseg.run.plan import new_run_id
from geoseg.run.storage import open_storage
from geoseg.run.store import WORK


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What was removed."""

    scenes: tuple[str, ...]
    """Scenes whose unfinished work is gone: the next run does them from the start."""
    files: int
    bytes: int


def clean(output: str) -> Cleaned:
    """Remove all unfinished work of an output. What is published stays.

    Raises:
        SettingsError: If a run works on the output.
    """
    storage = open_storage(output)
    with Lock(storage, new_run_id()):
        keys = [key for key in storage.keys(WORK) if not key.startswith(LOCK_KEY)]
        scenes = sorted({key.split("/")[1] for key in keys})
        size = sum(storage.size(key) or 0 for key in keys)
        for scene in scenes:
            storage.delete_all(f"{WORK}/{scene}")
    return Cleaned(tuple(scenes), len(keys), size)
