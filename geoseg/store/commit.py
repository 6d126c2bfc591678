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

STAGED = "staged"
"""Folder of a scene's work with what awaits its commit."""


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
    store.storage.put(_staged_key(store, manifest_key(store.scene_id)), to_json(manifest))
    store.storage.put(_journal_key(store), to_json(manifest))


def is_staged(store: SceneStore) -> bool:
    """Tell whether all results of a scene await their commit."""
    return read_json(store.storage, _journal_key(store)) is not None


def commit(store: SceneStore) -> Manifest:
    """Move the staged results to their place, in the place of all earlier ones, and remove the scene's work.

    May be cut short anywhere and called again, also while an attempt that was given up goes on.

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
            store.storage.put(key, to_json(manifest))


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


def _journal_key(store: SceneStore) -> str:
    return f"{store.work}/commit.json"


def _staged_key(store: SceneStore, key: str) -> str:
    return f"{store.work}/{STAGED}/{key}"
