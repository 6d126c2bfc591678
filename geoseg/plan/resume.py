"""What the output holds of a scene when a run begins, and what is left to do."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from geoseg.errors import SceneError
from geoseg.grid.tiling import Tiling
from geoseg.plan.fingerprint import explain_changes
from geoseg.store.commit import STAGED, is_staged
from geoseg.store.integrity import find_losses
from geoseg.store.manifest import Fingerprint, Manifest, deciding, find_strays, read_manifest
from geoseg.store.records import Record
from geoseg.store.scene_store import BLOCKS, CHANGES, GRAPHS, MERGED, SCENE, TRACED, WORK, SceneStore
from geoseg.store.storages.base import Storage

PLAN = "plan.json"
"""Beside the records: the fingerprint in the open."""


@dataclass(frozen=True, slots=True)
class Found:
    """What is there already of a scene."""

    published: Mapping[str, Any] | None = None
    """Results of an earlier run that are up to date."""
    staged: bool = False
    """All that is left is to commit."""
    records: Mapping[str, Mapping[str, Record]] = field(default_factory=dict)
    """Units that are done, by kind and name."""
    warnings: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    """Folders of unfinished work that nobody will go on with."""


@dataclass(frozen=True, slots=True)
class Held:
    """What the output says of a scene."""

    scene_id: str
    manifest: Manifest | None
    """What is published of it."""
    begun: Mapping[str, Fingerprint]
    """Fingerprints of unfinished work, by the folder."""

    @property
    def fingerprints(self) -> list[Fingerprint]:
        """All of them."""
        return [*([] if self.manifest is None else [self.manifest.fingerprint]), *self.begun.values()]


def read_held(storage: Storage, scene_id: str) -> Held:
    """Read what the output says of a scene."""
    folder = f"{WORK}/{scene_id}"
    begun = {name: facts for name in storage.folders(folder) if (facts := _plan_of(storage, f"{folder}/{name}"))}
    return Held(scene_id, read_manifest(storage, scene_id), begun)


def look_up(
    storage: Storage, held: Held, fingerprint: Fingerprint, key: str, *, overwrite: bool, verify: bool = False
) -> Found:
    """Compare what the output holds of a scene with what is asked for.

    Args:
        storage: The output.
        held: What it says of the scene.
        fingerprint: Of the results that are asked for.
        key: Its digest.
        overwrite: Results of another fingerprint may be replaced.
        verify: Read all files of a published scene, see `geoseg.store.integrity`.

    Raises:
        SceneError: If the output holds, or has begun, other results of the scene; lists what has changed.
    """
    scene_id, manifest, folder = held.scene_id, held.manifest, f"{WORK}/{held.scene_id}"
    others = {name: facts for name, facts in held.begun.items() if name != key}
    remedy = "Give --overwrite to replace it, or another --output."
    if manifest is not None and deciding(manifest.fingerprint) == deciding(fingerprint):
        lost = find_losses(storage, scene_id, manifest, verify=verify)
        if not lost:
            # A process that was frozen while the scene was finished may have written there after its commit.
            return Found(published=manifest.results, stale=(folder,) if storage.folders(folder) else ())
        return Found(warnings=(f"{', '.join(lost)} of scene {scene_id} is gone or changed; the scene is done again.",))
    if overwrite:
        return Found(stale=tuple(f"{folder}/{name}" for name in others))
    if manifest is not None:
        changes = explain_changes(manifest.fingerprint, fingerprint)
        raise SceneError(f"The output {storage.url} holds scene {scene_id} made otherwise: {changes}. {remedy}")
    for facts in others.values():
        raise SceneError(
            f"The output {storage.url} holds unfinished work on scene {scene_id} made otherwise: "
            f"{explain_changes(facts, fingerprint)}. {remedy}"
        )
    if key not in held.begun and find_strays(storage, scene_id):
        raise SceneError(
            f"The output {storage.url} holds scene {scene_id}, but scenes/{scene_id}.json, which tells how it was "
            f"made, is missing. {remedy}"
        )
    return Found()


def begin_scene(store: SceneStore, tiling: Tiling, fingerprint: Fingerprint) -> Found:
    """Find the units that are done, and put down the fingerprint for the next run."""
    if is_staged(store):
        return Found(staged=True)
    others = [layout for layout in store.storage.folders(store.work) if layout not in {store.layout, STAGED}]
    store.storage.put(
        f"{store.work}/{PLAN}", json.dumps(dict(fingerprint), indent=1, sort_keys=True, ensure_ascii=False).encode()
    )
    names = [block.name for block in tiling.blocks()]
    records = {kind: store.find(kind, names) for kind in (BLOCKS, GRAPHS, MERGED, TRACED)}
    records[CHANGES] = store.find(CHANGES, [SCENE])
    if records[BLOCKS]:
        return Found(records=records)
    warnings = (
        f"Scene {store.scene_id}: an earlier run began with other blocks or versions of packages ({layout}); what it "
        "has done cannot be used, and the scene is done from the start."
        for layout in others
    )
    return Found(records=records, warnings=tuple(warnings))


def _plan_of(storage: Storage, folder: str) -> Fingerprint | None:
    try:
        facts: Fingerprint = json.loads(storage.get(f"{folder}/{PLAN}"))
    except (FileNotFoundError, ValueError):
        return None
    return facts
