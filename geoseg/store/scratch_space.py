"""Free space for the files that a node builds before it uploads them to a bucket."""

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from geoseg.errors import SettingsError

BYTES_PER_VALUE = 1.5
"""Class map and other rasters are built side by side, each without compression (1) and as a COG (at most a half)."""
THIS_MACHINE = "this machine"
"""Name of the node of a run without a cluster."""


@dataclass(frozen=True, slots=True)
class Room:
    """A node's folder for temporary files."""

    folder: str
    free_bytes: int | None
    """None if the folder cannot be written."""


def find_room(scratch_dir: str | None) -> Room:
    """Inspect this machine's folder for temporary files.

    Args:
        scratch_dir: ``run.scratch_dir``; None for the system's folder.
    """
    folder = scratch_dir
    try:
        folder = folder or tempfile.gettempdir()
        free_bytes = shutil.disk_usage(folder).free if os.access(folder, os.W_OK) else None
    except OSError:
        free_bytes = None
    return Room(folder or "a folder for temporary files", free_bytes)


def check_room(output: str, scenes: Iterable[tuple[str, int]], rooms: Mapping[str, Room]) -> None:
    """Check that every node has space to build the largest scene; only for outputs in a bucket.

    Args:
        output: The run's output.
        scenes: Path of each scene, and number of pixels in all bands of its rasters.
        rooms: The folder of each node, by the node's name.

    Raises:
        SettingsError: If one has not; names the node, its folder, and the needed and free bytes.
    """
    if not output.startswith("s3://"):
        return
    path, values = max(scenes, key=lambda scene: scene[1], default=("", 0))
    needed_bytes = int(values * BYTES_PER_VALUE)
    remedy = "set run.scratch_dir to a folder with more, on every node (or TMPDIR, where the node starts)"
    for name, room in rooms.items():
        if room.free_bytes is None:
            raise SettingsError(
                f"{name}: files for {output} are built in {room.folder}, which does not exist or cannot be written. "
                f"Make it, or {remedy}."
            )
        if room.free_bytes < needed_bytes:
            raise SettingsError(
                f"{name}: files for {output} are built in {room.folder}, where {room.free_bytes:,} bytes are free; "
                f"{path} needs {needed_bytes:,}. Free some space, or {remedy}."
            )
