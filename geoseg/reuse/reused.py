"""Published rasters whose pixels another run takes over, instead of those that the model would give again.

The class map is published as it is before the minimum area, and no setting of the polygons changes one of its pixels.
So polygons that are made of published rasters are those of a whole run with the same settings, byte for byte.
"""

import weakref
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from geoseg.config import RunSettings
from geoseg.errors import SceneError
from geoseg.grid.blend import ClassMap
from geoseg.grid.decision import CONFIDENCE, PROBABILITIES, SUMMED
from geoseg.grid.tiling import Block
from geoseg.publish.published_rasters import open_confidence, open_layers
from geoseg.raster.maps.class_map import open_band
from geoseg.reuse.changes import explain_changes
from geoseg.reuse.levels import deciding_scores
from geoseg.store.integrity import find_losses
from geoseg.store.manifest import Fingerprint, Manifest, rasters_prefix
from geoseg.store.scene_store import WORK
from geoseg.store.storages.base import Storage, sha256_of
from geoseg.store.storages.opening import open_storage

CLASSES = "classes"
"""Name of the raster of the class map."""
MOST_REUSED = 10
"""Number of scenes with reused rasters that are named."""
KEPT = 2
"""Scenes of a bucket whose rasters a process keeps downloaded."""


@dataclass(frozen=True, slots=True)
class Reused:
    """Rasters of a published scene. Is sent to workers."""

    url: str
    """The output that holds them."""
    scene_id: str
    """Id of the scene there."""
    manifest: Manifest
    """That of the scene, with the rasters alone as its files."""
    scratch_dir: str | None = None
    """``run.scratch_dir``, for rasters of a bucket."""

    @property
    def storage(self) -> Storage:
        """The storage of the output."""
        return open_storage(self.url, self.scratch_dir)

    @property
    def rasters(self) -> tuple[str, ...]:
        """Names of the rasters."""
        return tuple(Path(key).stem for key in self.manifest.files)

    def explain(self, fingerprint: Fingerprint) -> str:
        """What a run with this fingerprint takes over, and why it does the rest, as a sentence."""
        changes = explain_changes(self.manifest.fingerprint, fingerprint)
        return (
            f"{self.scene_id}: {' and '.join(sorted(self.rasters))} are taken over as published, the rest is made "
            f"again without the model{': ' if changes else ''}{changes}."
        )

    def key(self, name: str) -> str:
        """Key of a raster."""
        return raster_key(self.scene_id, name)

    def read(self, block: Block, layers: Sequence[str]) -> ClassMap:
        """The pixels of a block, with those of ``layers`` of which polygons have sums.

        Raises:
            SceneError: If a raster cannot be read, or is not the one of the manifest.
        """
        names = [name for name in SUMMED if name in layers]
        local = self._find_local()  # held while files are open: its end may remove them
        folder = local.folder
        with (
            open_band(folder / f"{CLASSES}.tif") as read_classes,
            open_confidence(folder) as read_confidence,
            open_layers(folder, names) as read_layers,
        ):
            planes = {name: _plane(name, read(block.core)) for name, read in read_layers.items()}
            return ClassMap(block.core, read_classes(block.core), read_confidence(block.core), planes)

    def check_unchanged(self) -> None:
        """Check that the rasters are still those of the manifest.

        Raises:
            SceneError: If not.
        """
        if lost := find_losses(self.storage, self.scene_id, self.manifest):
            raise SceneError(
                f"{', '.join(lost)} in {self.storage.url} has changed since the run began. Run the same command again."
            )

    def _find_local(self) -> "_Local":
        """A folder with the rasters as local files."""
        if not self.url.startswith("s3://"):
            return _Local(Path(self.storage.url) / rasters_prefix(self.scene_id))
        with _DOWNLOADING:
            return _download(
                self.url, self.scratch_dir, tuple((k, f["sha256"]) for k, f in self.manifest.files.items())
            )


def explain_reused(scenes: Iterable[tuple[Reused | None, Fingerprint]]) -> list[str]:
    """`Reused.explain` of the first `MOST_REUSED` scenes that reuse rasters, and the number of the others."""
    lines = [reused.explain(fingerprint) for reused, fingerprint in scenes if reused is not None]
    more = [f"So it is with {len(lines) - MOST_REUSED:,} more scenes."] if len(lines) > MOST_REUSED else []
    return lines[:MOST_REUSED] + more


def raster_key(scene_id: str, name: str) -> str:
    """Key of a raster of a scene."""
    return f"{rasters_prefix(scene_id)}/{name}.tif"


def find_reused(
    storage: Storage,
    scene_id: str,
    manifest: Manifest | None,
    fingerprint: Fingerprint,
    rasters: Sequence[str],
    run: RunSettings,
) -> Reused | None:
    """Find the published rasters of a scene, if a run can take them over.

    Args:
        storage: The output.
        scene_id: The scene.
        manifest: That of the published scene; None if there is none.
        fingerprint: Of the results of the run.
        rasters: Those that the run publishes beside the class map.
        run: Where downloads go, and whether to read the rasters, see `geoseg.store.integrity`.

    Returns:
        None if other pixels are wanted, or one of the rasters is not there or has changed.
    """
    if manifest is None or deciding_scores(manifest.fingerprint) != deciding_scores(fingerprint):
        return None
    available = [name for name in (CONFIDENCE, PROBABILITIES) if raster_key(scene_id, name) in manifest.files]
    wanted = {raster_key(scene_id, name) for name in (CLASSES, *rasters, *available)}
    if not available or not wanted <= manifest.files.keys():
        return None
    files = {key: facts for key, facts in manifest.files.items() if key in wanted}
    found = Reused(storage.url, scene_id, replace(manifest, files=files), run.scratch_dir)
    return None if find_losses(storage, scene_id, found.manifest, verify=run.verify) else found


def _plane(name: str, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pixels of a raster in the shape of its layer: (H, W), or (C, H, W) of the probabilities."""
    return pixels if name == PROBABILITIES else pixels[0]


class _Local:
    """A folder of local files; what was downloaded is removed when this is dropped, at the latest at exit."""

    def __init__(self, folder: Path, downloaded: ExitStack | None = None) -> None:
        self.folder = folder
        if downloaded is not None:
            weakref.finalize(self, downloaded.close)


_DOWNLOADING = Lock()


@lru_cache(KEPT)
def _download(url: str, scratch_dir: str | None, digests: tuple[tuple[str, str], ...]) -> _Local:
    storage, stack = open_storage(url, scratch_dir), ExitStack()
    local = _Local(stack.enter_context(storage.scratch(WORK)), stack)
    for key, sha256 in digests:
        file = local.folder / Path(key).name
        storage.fetch(key, local.folder).replace(file)
        if sha256_of(file) != sha256:
            raise SceneError(f"{key} in {url} has changed since the run began. Run the same command again.")
    return local
