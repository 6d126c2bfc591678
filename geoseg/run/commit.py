"""The moment a scene's results appear: staged files move to their place, and a manifest says that all are there.

A journal is written before the first move, so a commit that was cut short is completed by the next run. The manifest,
``scenes/<scene>.json``, is removed before the first and moved there after the last move: while it is missing, what lies
in ``rasters`` and ``polygons`` is not to be trusted.

A run may be frozen in the middle, lose its lock, and go on when another has published. Before each step it asks whether
the lock is still its own. Should it be frozen between question and step, the step fails by itself: it takes a file out
of the scene's work or, on a disk, moves one into it, and the other run has removed that work before its own commit.
In a bucket the removal of an earlier file, and a file of more than 256 MiB, which is sent and not copied, are guarded
by the question alone.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from geoseg.errors import StoreError
from geoseg.run import faults
from geoseg.run.fingerprint import Facts, digest
from geoseg.run.storage import Storage
from geoseg.run.store import READERS, WORK, SceneStore

STAGED = "staged"
"""Folder of a scene's work with what awaits its commit."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the output holds of a scene. The same bytes for the same results."""

    fingerprint: Facts
    """What decided the results, see `geoseg.run.fingerprint`."""
    files: Mapping[str, Mapping[str, Any]]
    """Size in ``bytes`` and ``sha256`` of each file, by its key in the output."""
    results: Mapping[str, Any]
    """Counts and areas, for reports."""


def rasters_prefix(scene_id: str) -> str:
    """Where class map and confidence lie."""
    return f"rasters/{scene_id}"


def polygons_prefix(scene_id: str) -> str:
    """Where the GeoParquet parts lie."""
    return f"polygons/scene={scene_id}"


def manifest_key(scene_id: str) -> str:
    """Where the manifest of a scene lies."""
    return f"scenes/{scene_id}.json"


def read_manifest(storage: Storage, scene_id: str) -> Manifest | None:
    """What is published of a scene; None if nothing is, or not completely."""
    return _read(storage, manifest_key(scene_id))


def published_scenes(storage: Storage, without: Set[str]) -> dict[str, Manifest]:
    """What is published of each scene, but for some."""
    ids = [key.removeprefix("scenes/").removesuffix(".json") for key in storage.keys("scenes")]
    ids = [scene_id for scene_id in ids if scene_id not in without]
    with ThreadPoolExecutor(READERS) as pool:
        found = zip(ids, pool.map(lambda scene_id: read_manifest(storage, scene_id), ids), strict=True)
        return {scene_id: manifest for scene_id, manifest in found if manifest is not None}


def find_strays(storage: Storage, scene_id: str) -> list[str]:
    """Files where the results of a scene lie, whether a manifest names them or not."""
    return [key for prefix in (rasters_prefix(scene_id), polygons_prefix(scene_id)) for key in storage.keys(prefix)]


def stage(store: SceneStore, files: Iterable[tuple[Path, str]]) -> dict[str, dict[str, Any]]:
    """Bring finished files into the storage, beside their place; they count once `seal` names them.

    Args:
        store: The scene's.
        files: Each with the key under which it will be published.

    Returns:
        Size in ``bytes`` and ``sha256`` of each, by that key.
    """
    described = {}
    for file, key in files:
        with file.open("rb") as stream:
            described[key] = {
                "bytes": file.stat().st_size,
                "sha256": hashlib.file_digest(stream, "sha256").hexdigest(),
            }
        faults.hit("upload", "start", key)
        store.storage.upload(file, _staged_key(store, key))
        faults.hit("upload", "end", key)
    return described


def seal(store: SceneStore, manifest: Manifest) -> None:
    """Write down what is to be committed; all of it is staged."""
    store.storage.put(_staged_key(store, manifest_key(store.scene_id)), _to_json(manifest))
    store.storage.put(_journal_key(store), _to_json(manifest))


def is_staged(store: SceneStore) -> bool:
    """Tell whether all results of a scene await their commit."""
    return _read(store.storage, _journal_key(store)) is not None


def commit(store: SceneStore) -> Manifest:
    """Move the staged results to their place, in the place of all earlier ones, and remove the scene's work.

    May be cut short anywhere and called again, also while an attempt that was given up goes on.

    Raises:
        StoreError: If a staged file is lost.
        LockLostError: If another run has taken over the output.
    """
    storage, scene_id = store.storage, store.scene_id
    manifest = _read(storage, _journal_key(store))
    if manifest is None:
        return _committed(store)
    faults.hit("commit", "start", scene_id)
    store.require_lock()
    if not is_staged(store):  # an attempt that slept since then must not undo what another has committed
        return _committed(store)
    for other in storage.folders(f"{WORK}/{scene_id}"):
        if other != store.fingerprint:  # that of a run which was frozen: what it has staged must never appear
            storage.delete_all(f"{WORK}/{scene_id}/{other}")
    # Where files were lost or changed, the same manifest is published and staged again; only the last step moves it.
    if read_manifest(storage, scene_id) != manifest or storage.size(_staged_key(store, manifest_key(scene_id))):
        try:
            _make_room(store, manifest)
        except FileNotFoundError:
            return _committed(store)
        for key, facts in manifest.files.items():
            _place(store, key, facts["bytes"])
            faults.hit("commit", "middle", key)
        _place_manifest(store, manifest)
    faults.hit("commit", "end", scene_id)
    _clear(store)
    faults.hit("commit", "cleared", scene_id)
    return manifest


def _make_room(store: SceneStore, manifest: Manifest) -> None:
    """Take away what is published and will not be replaced, the manifest first.

    Raises:
        FileNotFoundError: If the scene's work is gone: another attempt, or another run, has committed.
    """
    strays = [key for key in find_strays(store.storage, store.scene_id) if key not in manifest.files]
    for key in (manifest_key(store.scene_id), *strays):
        store.require_lock()
        faults.hit("commit", "before-removal", key)
        store.storage.retire(key, store.work)


def _place(store: SceneStore, key: str, size_bytes: int) -> None:
    """Move a staged file to its place, unless an attempt before has."""
    store.require_lock()
    try:
        store.storage.move(_staged_key(store, key), key)
    except FileNotFoundError:
        store.require_lock()
        if store.storage.size(key) != size_bytes:
            store.storage.delete(_journal_key(store))
            raise StoreError(
                f"{key} was staged in {store.url} and is lost. Check the disk, then run the same command again."
            ) from None


def _place_manifest(store: SceneStore, manifest: Manifest) -> None:
    """Move the manifest to its place; write it if another attempt of this run has moved it and a third removed it."""
    store.require_lock()
    key = manifest_key(store.scene_id)
    try:
        store.storage.move(_staged_key(store, key), key)
    except FileNotFoundError:
        store.require_lock()
        if read_manifest(store.storage, store.scene_id) != manifest:
            store.storage.put(key, _to_json(manifest))


def _committed(store: SceneStore) -> Manifest:
    """What an attempt that nobody heard of has committed: the journal goes with the scene's work."""
    store.require_lock()
    manifest = read_manifest(store.storage, store.scene_id)
    if manifest is None or digest(manifest.fingerprint) != store.fingerprint:
        raise StoreError(
            f"{_journal_key(store)} in {store.url} is lost. Check the disk, then run the same command again."
        )
    _clear(store)
    return manifest


def _clear(store: SceneStore) -> None:
    store.require_lock()
    store.storage.delete_all(f"{WORK}/{store.scene_id}")


def _to_json(manifest: Manifest) -> bytes:
    return json.dumps(asdict(manifest), indent=1, sort_keys=True, ensure_ascii=False).encode()


def _read(storage: Storage, key: str) -> Manifest | None:
    try:
        content = json.loads(storage.get(key))
        return Manifest(content["fingerprint"], content["files"], content["results"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _journal_key(store: SceneStore) -> str:
    return f"{store.work}/commit.json"


def _staged_key(store: SceneStore, key: str) -> str:
    return f"{store.work}/{STAGED}/{key}"
