"""Room for the files that a node builds before it sends them to a bucket."""

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from geoseg.errors import SettingsError

BYTES_PER_PIXEL = 3
"""Class map and confidence are built side by side, each without compression (1) and as a COG (at most a half)."""
THIS_MACHINE = "this machine"
"""Name of the node of a run without a cluster."""


@dataclass(frozen=True, slots=True)
class Room:
    """A node's folder for temporary files."""

    folder: str
    free_bytes: int | None
    """None if no file can be written there."""


def find_room(scratch_dir: str | None) -> Room:
    """Look at the folder of this machine for temporary files.

    Args:
        scratch_dir: ``run.scratch_dir``; None for the system's.
    """
    folder = scratch_dir
    try:
        folder = folder or tempfile.gettempdir()
        free_bytes = shutil.disk_usage(folder).free if os.access(folder, os.W_OK) else None
    except OSError:
        free_bytes = None
    return Room(folder or "a folder for temporary files", free_bytes)


def check_room(output: str, scenes: Iterable[tuple[str, int]], rooms: Mapping[str, Room]) -> None:
    """Make sure that each scene can be built on each node; a folder as output has its own room.

    Args:
        output: The run's output.
        scenes: Path and number of pixels of each.
        rooms: By the name of the node.

    Raises:
        SettingsError: If not; names the node, its folder, what is needed and what is free.
    """
    if not output.startswith("s3://"):
        return
    path, pixels = max(scenes, key=lambda scene: scene[1], default=("", 0))
    needed_bytes = pixels * BYTES_PER_PIXEL
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
