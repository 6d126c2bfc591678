"""A temporary folder beside an output file. A later run removes it if its own run was killed."""

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from geoseg.errors import SettingsError
from geoseg.store.lock_holder import Holder

OWNER = "owner.json"
"""File in the folder that names the process it belongs to."""

_NAME_BYTES = 200
"""Most bytes of the output's name in the name of the folder; a file name has at most 255."""


@contextmanager
def scratch_folder(output: Path, warn: Callable[[str], None]) -> Iterator[Path]:
    """Make a folder ``.NAME.xxxxxxxx`` beside an output, and remove those of dead runs.

    Args:
        output: The file that will be written. Missing parent folders are made, and removed again after a failure.
        warn: Called with a sentence for each folder of a run on another machine, which may be alive.

    Raises:
        SettingsError: If no folder can be made there.
    """
    made = [folder for folder in (output.parent, *output.parent.parents) if not folder.exists()]
    prefix = f".{output.name.encode()[:_NAME_BYTES].decode(errors='ignore')}."
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(output.parent, prefix, warn)
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=output.parent))
        try:
            (folder / OWNER).write_bytes(Holder.this_process("polygonize", 0).to_json())
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    except OSError as error:
        _remove_empty(made)
        raise SettingsError(
            f"{output} cannot be written: {error.filename or output.parent}: {error.strerror or error}. "
            "Name an output in a folder that you may write to, on a disk with room."
        ) from error
    done = False
    try:
        yield folder
        done = True
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if not done:
            _remove_empty(made)


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def _remove_leftovers(parent: Path, prefix: str, warn: Callable[[str], None]) -> None:
    """Remove folders of dead processes of this machine; another run may do the same at the same time."""
    # mkdtemp adds eight characters.
    name = re.compile(re.escape(prefix) + r"[a-z0-9_]{8}")
    for folder in sorted(path for path in parent.iterdir() if name.fullmatch(path.name) and path.is_dir()):
        owner = _owner(folder)
        if owner is not None and owner.is_dead:
            shutil.rmtree(folder, ignore_errors=True)
        elif owner is None or not owner.is_here:
            whose = f"process {owner.pid} on {owner.host}" if owner else "a run that does not say who it is"
            warn(f"{folder} belongs to {whose}. Delete it if that run is over; this one cannot tell.")


def _owner(folder: Path) -> Holder | None:
    try:
        return Holder(**json.loads((folder / OWNER).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
