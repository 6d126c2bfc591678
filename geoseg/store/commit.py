"""Commit a scene: move staged files to their published keys, then write the manifest.

The journal is written before the first move, so the next run completes an interrupted commit. The manifest,
``scenes/<scene>.json``, is removed before the first move and written after the last: while it is missing, the files in
``rasters`` and ``polygons`` are incomplete.

A run may be frozen during a commit, lose its lock, and continue after another run has published. Before each step it
checks the lock. If it is frozen between check and step, the step itself fails: it moves a file out of the scene's work
or, on a disk, into it, and the other run has removed that work before its own commit. In a bucket two steps depend on
the check alone: removing an earlier file, and moving a file of more than 256 MiB, which is uploaded and not copied.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from geoseg import faults
from geoseg.errors import StoreError
from geoseg.store.manifest import (
    Manifest,
    digest,
    find_strays,
    manifest_key,
    read_json,
    read_manifest,
    to_json,
)
from geoseg.store.scene_store import WORK, SceneStore
from geoseg.store.storages.base import sha256_of

STAGED = "staged"
"""Folder of a scene's work with the files to be committed."""


def stage(store: SceneStore, files: Iterable[tuple[Path, str]]) -> dict[str, dict[str, Any]]:
    """Upload finished files to the scene's work. `seal` must name them before they can be committed.

    Args:
        store: Store of the scene.
        files: Pairs of a local file and the key under which it will be published.

    Returns:
        Size in ``bytes`` and ``sha256`` of each file, by its key.
    """
    described = {}
    for file, key in files:
        described[key] = {"bytes": file.stat().st_size, "sha256": sha256_of(file)}
        faults.hit("upload", "start", key)
        store.storage.upload(file, _staged_key(store, key))
        faults.hit("upload", "end", key)
    return described


def seal(store: SceneStore, manifest: Manifest) -> None:
    """Write the journal: the manifest of the files to be committed, all of which must be staged."""
    store.storage.put(_staged_key(store, manifest_key(store.scene_id)), to_json(manifest))
    store.storage.put(_journal_key(store), to_json(manifest))


def is_staged(store: SceneStore) -> bool:
    """Whether the journal of a scene exists, that is, all its results are staged."""
    return read_json(store.storage, _journal_key(store)) is not None


def commit(store: SceneStore) -> Manifest:
    """Publish the staged results in place of all earlier ones, and remove the scene's work.

    May be interrupted anywhere and called again, also while an abandoned attempt is still running.

    Raises:
        StoreError: If a staged file is lost.
        LockLostError: If another run has taken over the output.
    """
    storage, scene_id = store.storage, store.scene_id
    manifest = read_json(storage, _journal_key(store))
    if manifest is None:
        return _committed(store)
    faults.hit("commit", "start", scene_id)
    store.require_lock()
    if not is_staged(store):  # an attempt that was frozen since then must not change what another has committed
        return _committed(store)
    for other in storage.folders(f"{WORK}/{scene_id}"):
        if other != store.fingerprint:  # that of a frozen run: its staged files must never be published
            storage.delete_all(f"{WORK}/{scene_id}/{other}")
    # After a loss of files the published manifest may equal the staged one: then the commit is complete only when the
    # staged manifest has been moved.
    if read_manifest(storage, scene_id) != manifest or storage.size(_staged_key(store, manifest_key(scene_id))):
        try:
            _remove_replaced(store, manifest)
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


def _remove_replaced(store: SceneStore, manifest: Manifest) -> None:
    """Remove the published manifest, then the published files that are not overwritten.

    Raises:
        FileNotFoundError: If the scene's work is gone: another attempt or run has committed.
    """
    strays = [key for key in find_strays(store.storage, store.scene_id) if key not in manifest.files]
    for key in (manifest_key(store.scene_id), *strays):
        store.require_lock()
        faults.hit("commit", "before-removal", key)
        store.storage.retire(key, store.work)


def _place(store: SceneStore, key: str, size_bytes: int) -> None:
    """Move a staged file to its key, unless an earlier attempt has."""
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
    """Move the manifest to its key. Write it if one attempt of this run has moved it and another has removed it."""
    store.require_lock()
    key = manifest_key(store.scene_id)
    try:
        store.storage.move(_staged_key(store, key), key)
    except FileNotFoundError:
        store.require_lock()
        if read_manifest(store.storage, store.scene_id) != manifest:
            store.storage.put(key, to_json(manifest))


def _committed(store: SceneStore) -> Manifest:
    """The manifest of an attempt whose result was lost: a commit removes the journal with the scene's work."""
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


def _journal_key(store: SceneStore) -> str:
    return f"{store.work}/commit.json"


def _staged_key(store: SceneStore, key: str) -> str:
    return f"{store.work}/{STAGED}/{key}"
