"""The state of a training on disk, from which the same command goes on."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from geoseg.errors import OutputError, SettingsError


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """All that a training needs to go on after an epoch."""

    settings: str
    """Digest of what decides the result."""
    epoch: int
    """Finished epochs."""
    history: list[dict[str, float]]
    """Metrics of each finished epoch."""
    best: dict[str, Any] = field(repr=False)
    """Weights of the epoch with the best mIoU."""
    network: dict[str, Any] = field(repr=False)
    average: dict[str, Any] | None = field(repr=False)
    optimizer: dict[str, Any] = field(repr=False)


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint under another name and move it to its place, so that there is always a whole one.

    Raises:
        OutputError: If it cannot be written; the former checkpoint stays.
    """
    staged = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with staged.open("wb") as file:
            torch.save({name: getattr(checkpoint, name) for name in Checkpoint.__slots__}, file)
            file.flush()
            os.fsync(file.fileno())
        staged.replace(path)
    except (OSError, RuntimeError) as error:  # torch raises RuntimeError where its archive cannot be written
        staged.unlink(missing_ok=True)
        reason = error.strerror if isinstance(error, OSError) else str(error).splitlines()[0]
        raise OutputError(
            f"The checkpoint {path} cannot be written: {reason}. The checkpoint before it is kept: make room, then run "
            "the same command again."
        ) from error


def load_checkpoint(path: Path, settings: str) -> Checkpoint | None:
    """Read the checkpoint of a training that was stopped; None if there is none.

    Raises:
        SettingsError: If it is damaged, or belongs to other settings or data.
    """
    if not path.exists():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        checkpoint = Checkpoint(**content)
    except (OSError, RuntimeError, TypeError, ValueError, EOFError, UnpicklingError) as error:
        raise SettingsError(
            f"{path} is no whole checkpoint ({type(error).__name__}). Give --overwrite to begin anew."
        ) from error
    if checkpoint.settings != settings:
        raise SettingsError(
            f"{path} is of a training with other settings or data. Give --overwrite to replace it, or another --output."
        )
    return checkpoint
