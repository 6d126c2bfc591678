"""What the output holds of a scene when a run begins, and what is left to do."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from geoseg.errors import SceneError
from geoseg.grid.tiling import Tiling
from geoseg.run.commit import find_losses, find_strays, is_staged, read_manifest
from geoseg.run.fingerprint import Facts, explain_changes
from geoseg.run.gate import BEFORE, steps_inside
from geoseg.run.records import Record
from geoseg.run.storage import Storage
from geoseg.run.store import BLOCKS, CHANGES, GRAPHS, MERGED, SCENE, TRACED, WORK, SceneStore

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


def look_up(storage: Storage, scene_id: str, fingerprint: Facts, key: str, *, overwrite: bool) -> Found:
    """Compare what the output holds of a scene with what is asked for.

    Args:
        storage: The output.
        scene_id: The scene.
        fingerprint: Of the results that are asked for.
        key: Its digest.
        overwrite: Results of another fingerprint may be replaced.

    Raises:
        SceneError: If the output holds, or has begun, other results of the scene; lists what has changed.
    """
    begun = _begun(storage, scene_id)
    others = {name: facts for name, facts in begun.items() if name != key}
    manifest = read_manifest(storage, scene_id)
    if overwrite:
        return Found(stale=tuple(f"{WORK}/{scene_id}/{name}" for name in others))
    remedy = "Give --overwrite to replace it, or another --output."
    if manifest is not None and manifest.fingerprint != fingerprint:
        changes = explain_changes(manifest.fingerprint, fingerprint)
        raise SceneError(f"The output {storage.url} holds scene {scene_id} made otherwise: {changes}. {remedy}")
    if manifest is not None:
        lost = find_losses(storage, manifest)
        if not lost:
            # A process that was frozen while the scene was finished may have written there after its commit.
            return Found(published=manifest.results, stale=(f"{WORK}/{scene_id}",))
        return Found(warnings=(f"{', '.join(lost)} of scene {scene_id} is gone or changed; the scene is done again.",))
    for facts in others.values():
        raise SceneError(
            f"The output {storage.url} holds unfinished work on scene {scene_id} made otherwise: "
            f"{explain_changes(facts, fingerprint)}. {remedy}"
        )
    if key not in begun and find_strays(storage, scene_id):
        raise SceneError(
            f"The output {storage.url} holds scene {scene_id}, but scenes/{scene_id}.json, which tells how it was "
            f"made, is missing. {remedy}"
        )
    return Found()


def find_layouts(storage: Storage, scene_id: str, key: str) -> list[str]:
    """Layouts for which the output holds unfinished work."""
    names = storage.keys(f"{WORK}/{scene_id}/{key}")
    return sorted({name.split("/")[3] for name in names if name.split("/")[4:5] == [BLOCKS]})


def begin_scene(store: SceneStore, tiling: Tiling, fingerprint: Facts) -> Found:
    """Find the units that are done, and put down the fingerprint for the next run.

    A finished block whose strips are gone while a neighbour still needs them counts as not done.
    """
    if is_staged(store):
        return Found(staged=True)
    store.storage.put(
        f"{store.work}/{PLAN}", json.dumps(dict(fingerprint), indent=1, sort_keys=True, ensure_ascii=False).encode()
    )
    names = [block.name for block in tiling.blocks()]
    records = {kind: store.find(kind, names) for kind in (BLOCKS, GRAPHS, MERGED, TRACED)}
    records[CHANGES] = store.find(CHANGES, [SCENE])
    records[BLOCKS] = _with_strips(store, tiling, records[BLOCKS])
    return Found(records=records)


def _with_strips(store: SceneStore, tiling: Tiling, records: Mapping[str, Record]) -> dict[str, Record]:
    """Records of the blocks that are whole, and whose strips are there if a neighbour is still to be finished."""
    log, usable = store.records, dict(records)
    for name, record in records.items():
        if not all(log.holds(BLOCKS, name, record, part) for part in record.parts if part != "strips"):
            del usable[name]
    # From the last block back: a block that turns out undone needs its own neighbours' strips.
    for block in reversed(list(tiling.blocks())):
        if block.name in usable:
            continue
        for row, col in steps_inside(tiling, (block.row, block.col), BEFORE).values():
            before = tiling.block(row, col).name
            if before in usable and not log.holds(BLOCKS, before, usable[before], "strips"):
                del usable[before]
    return usable


def _begun(storage: Storage, scene_id: str) -> dict[str, Facts]:
    """Fingerprints of unfinished work, by their digest."""
    folder, begun = f"{WORK}/{scene_id}", {}
    for key in storage.keys(folder):
        if key.endswith(f"/{PLAN}"):
            begun[key.removeprefix(f"{folder}/").removesuffix(f"/{PLAN}")] = json.loads(storage.get(key))
    return begun
