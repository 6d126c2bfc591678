"""What earlier runs have done of a scene: published results, staged results and finished units."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from geoseg.config import RunSettings
from geoseg.errors import SceneError
from geoseg.grid.tiling import Tiling
from geoseg.reuse.changes import explain_changes
from geoseg.reuse.reused import Reused, find_reused
from geoseg.store.commit import STAGED, is_staged
from geoseg.store.integrity import find_losses
from geoseg.store.manifest import Fingerprint, Manifest, deciding, find_strays, read_manifest
from geoseg.store.records import Record
from geoseg.store.scene_store import BLOCKS, CHANGES, GRAPHS, MERGED, SCENE, SMOOTHED, TRACED, WORK, SceneStore
from geoseg.store.storages.base import Storage

PLAN = "plan.json"
"""File beside the records with the whole fingerprint."""


@dataclass(frozen=True, slots=True)
class EarlierWork:
    """What earlier runs have done of a scene."""

    published: Mapping[str, Any] | None = None
    """Results of an earlier run that are up to date."""
    staged: bool = False
    """All results are staged; only the commit is missing."""
    records: Mapping[str, Mapping[str, Record]] = field(default_factory=dict)
    """Records of finished units, by kind and name."""
    reused: Reused | None = None
    """Published rasters whose pixels this run takes over."""
    warnings: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    """Folders of unfinished work that no run will continue."""


@dataclass(frozen=True, slots=True)
class StoredScene:
    """Manifest and unfinished work of a scene in the output."""

    scene_id: str
    manifest: Manifest | None
    """Of the published results; None if nothing is published."""
    begun: Mapping[str, Fingerprint]
    """Fingerprints of unfinished work, by folder."""

    @property
    def fingerprints(self) -> list[Fingerprint]:
        """Fingerprints of published results and of unfinished work."""
        return [*([] if self.manifest is None else [self.manifest.fingerprint]), *self.begun.values()]


def read_stored(storage: Storage, scene_id: str) -> StoredScene:
    """Read the manifest and the fingerprints of unfinished work of a scene."""
    folder = f"{WORK}/{scene_id}"
    begun = {name: facts for name in storage.folders(folder) if (facts := _plan_of(storage, f"{folder}/{name}"))}
    return StoredScene(scene_id, read_manifest(storage, scene_id), begun)


def find_earlier_work(
    storage: Storage,
    stored: StoredScene,
    fingerprint: Fingerprint,
    key: str,
    rasters: Sequence[str],
    run: RunSettings,
    *,
    overwrite: bool,
) -> EarlierWork:
    """Compare the stored state of a scene with the fingerprint of this run.

    Args:
        storage: The output.
        stored: State of the scene in the output.
        fingerprint: Of the results of this run.
        key: Digest of the fingerprint.
        rasters: Those that this run publishes beside the class map.
        run: Whether to read all files of a published scene, see `geoseg.store.integrity`.
        overwrite: Whether results of another fingerprint may be replaced.

    Raises:
        SceneError: If the output holds finished or unfinished results of another fingerprint; lists the differences.
    """
    scene_id, manifest, folder = stored.scene_id, stored.manifest, f"{WORK}/{stored.scene_id}"
    others = {name: facts for name, facts in stored.begun.items() if name != key}
    reused = find_reused(storage, scene_id, manifest, fingerprint, rasters, run)
    remedy = "Give --overwrite to replace it, or another --output."
    if manifest is not None and deciding(manifest.fingerprint) == deciding(fingerprint):
        lost = find_losses(storage, scene_id, manifest, verify=run.verify)
        if not lost:
            # A frozen process may have written there after the scene was committed.
            return EarlierWork(published=manifest.results, stale=(folder,) if storage.folders(folder) else ())
        again = f"{', '.join(lost)} of scene {scene_id} is gone or changed; the scene is done again"
        kept = ", its polygons alone, from its class map" if reused else ""
        return EarlierWork(reused=reused, warnings=(f"{again}{kept}.",))
    if overwrite:
        return EarlierWork(reused=reused, stale=tuple(f"{folder}/{name}" for name in others))
    if manifest is not None:
        changes = explain_changes(manifest.fingerprint, fingerprint)
        kept = " Its class map and other rasters stay, the model has nothing to do." if reused else ""
        raise SceneError(f"The output {storage.url} holds scene {scene_id} made otherwise: {changes}. {remedy}{kept}")
    for facts in others.values():
        raise SceneError(
            f"The output {storage.url} holds unfinished work on scene {scene_id} made otherwise: "
            f"{explain_changes(facts, fingerprint)}. {remedy}"
        )
    if key not in stored.begun and find_strays(storage, scene_id):
        raise SceneError(
            f"The output {storage.url} holds scene {scene_id}, but scenes/{scene_id}.json, which tells how it was "
            f"made, is missing. {remedy}"
        )
    return EarlierWork()


def begin_scene(store: SceneStore, tiling: Tiling, fingerprint: Fingerprint) -> EarlierWork:
    """Find the finished units of a scene, and store the fingerprint for the next run."""
    if is_staged(store):
        return EarlierWork(staged=True)
    others = [layout for layout in store.storage.folders(store.work) if layout not in {store.layout, STAGED}]
    store.storage.put(
        f"{store.work}/{PLAN}", json.dumps(dict(fingerprint), indent=1, sort_keys=True, ensure_ascii=False).encode()
    )
    names = [block.name for block in tiling.blocks()]
    records = {kind: store.find(kind, names) for kind in (BLOCKS, SMOOTHED, GRAPHS, MERGED, TRACED)}
    records[CHANGES] = store.find(CHANGES, [SCENE])
    if records[BLOCKS]:
        return EarlierWork(records=records)
    warnings = (
        f"Scene {store.scene_id}: an earlier run began with other blocks or versions of packages ({layout}); what it "
        "has done cannot be used, and the scene is done from the start."
        for layout in others
    )
    return EarlierWork(records=records, warnings=tuple(warnings))


def _plan_of(storage: Storage, folder: str) -> Fingerprint | None:
    try:
        facts: Fingerprint = json.loads(storage.get(f"{folder}/{PLAN}"))
    except (FileNotFoundError, ValueError):
        return None
    return facts
