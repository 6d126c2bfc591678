"""The output directory: finished blocks while a scene is worked on, results once it is committed.

Everything is written under a temporary name and renamed, so a reader never meets half a file.
"""

import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geoseg.errors import SettingsError
from geoseg.grid.blend import ClassMap
from geoseg.grid.tiling import Block


@dataclass(frozen=True, slots=True)
class SceneStore:
    """Where one scene's work and results lie."""

    output: Path
    """The run's output directory."""
    scene_id: str
    """The scene."""
    run_id: str
    """The run; two runs never share unfinished work."""

    @property
    def work(self) -> Path:
        """Unfinished work of this run; gone after `commit` or `discard`."""
        return self.output / ".work" / self.scene_id / self.run_id

    @property
    def rasters(self) -> Path:
        """Published class map and confidence."""
        return self.output / "rasters" / self.scene_id

    @property
    def polygons(self) -> Path:
        """Published GeoParquet parts."""
        return self.output / "polygons" / f"scene={self.scene_id}"

    @property
    def is_published(self) -> bool:
        """Tell whether the output holds results of this scene."""
        return self.rasters.exists() or self.polygons.exists()

    def polygons_of(self, name: str) -> Path:
        """Arrow file of the polygons that lie inside a block, or that span blocks."""
        return self.work / "polygons" / f"{name}.arrow"

    def put_block(self, block: Block, class_map: ClassMap, *, merged: bool = False) -> int:
        """Keep a finished block, or its classes after the minimum area; return its bytes on disk."""
        target = self._block(block, merged=merged)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            dir=target.parent, prefix=f"{block.name}.", suffix=".tmp", delete=False
        ) as file:
            try:
                np.save(file, np.stack([class_map.classes, class_map.confidence]), allow_pickle=False)
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).replace(target)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
        return target.stat().st_size

    def get_block(self, block: Block, *, merged: bool = False) -> ClassMap:
        """Read back what `put_block` kept."""
        classes, confidence = np.load(self._block(block, merged=merged), allow_pickle=False)
        return ClassMap(block.core, classes, confidence)

    def commit(self, staged_rasters: Path, staged_polygons: Path | None) -> None:
        """Publish what was staged under `work` in the place of all earlier results, and remove the work."""
        _swap(staged_rasters, self.rasters, self.work / "replaced-rasters")
        _swap(staged_polygons, self.polygons, self.work / "replaced-polygons")
        self.discard()

    def discard(self) -> None:
        """Remove this run's unfinished work of the scene."""
        shutil.rmtree(self.work, ignore_errors=True)

    def prune(self) -> None:
        """Remove the folders that `discard` leaves empty; not while units of the run may still make them."""
        for folder in (self.work.parent, self.work.parent.parent):
            with suppress(OSError):  # another run's work is in it
                folder.rmdir()

    def _block(self, block: Block, *, merged: bool) -> Path:
        return self.work / ("merged" if merged else "blocks") / f"{block.name}.npy"


def check_writable(output: Path) -> None:
    """Create the output directory and write a probe into it.

    Raises:
        SettingsError: If either fails.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output) as probe:
            probe.write(b"geoseg")
    except OSError as error:
        raise SettingsError(
            f"The output {output} cannot be written: {error.strerror}. Give --output a directory you may write to."
        ) from error


def _swap(staged: Path | None, target: Path, replaced: Path) -> None:
    if target.exists():
        target.rename(replaced)
    if staged is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        staged.rename(target)
