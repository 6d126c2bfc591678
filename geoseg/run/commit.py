"""The moment a scene's results appear: staged files move to their place, and a manifest says that all are there.

A journal is written before the first move, so a commit that was cut short is completed by the next run. The manifest,
``scenes/<scene>.json``, is removed before the first and written after the last move: while it is missing, what lies in
``rasters`` and ``polygons`` is not to be trusted.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Set
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from geoseg.errors import StoreError
from geoseg.run import faults
from geoseg.run.fingerprint import Facts, digest
from geoseg.run.storage import Storage
from geoseg.run.store import WORK, SceneStore

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


def read_manifest(storage: Storage, scene_id: str) -> Manifest | None:
    """What is published of a scene; None if nothing is, or not completely."""
    return _read(storage, _manifest_key(scene_id))


def crs_by_scene(storage: Storage, without: Set[str]) -> dict[str, str]:
    """The CRS of the polygons of each published scene, as WKT, but for some."""
    ids = [key.removeprefix("scenes/").removesuffix(".json") for key in storage.keys("scenes")]
    found = {scene_id: read_manifest(storage, scene_id) for scene_id in ids if scene_id not in without}
    return {scene_id: m.results["crs"] for scene_id, m in found.items() if m is not None and "crs" in m.results}


def find_strays(storage: Storage, scene_id: str) -> list[str]:
    """Files where the results of a scene lie, whether a manifest names them or not."""
    return [key for prefix in (rasters_prefix(scene_id), polygons_prefix(scene_id)) for key in storage.keys(prefix)]


def find_losses(storage: Storage, manifest: Manifest) -> list[str]:
    """Files that a manifest names and the output holds no longer, or in another size."""
    return [key for key, facts in manifest.files.items() if storage.size(key) != facts["bytes"]]


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
    store.storage.put(_journal_key(store), _to_json(manifest))


def is_staged(store: SceneStore) -> bool:
    """Tell whether all results of a scene await their commit."""
    return _read(store.storage, _journal_key(store)) is not None


def commit(store: SceneStore) -> Manifest:
    """Move the staged results to their place, in the place of all earlier ones, and remove the scene's work.

    May be cut short anywhere and called again, also while an attempt that was given up goes on.

    Raises:
        StoreError: If a staged file is lost.
    """
    storage, scene_id = store.storage, store.scene_id
    manifest = _read(storage, _journal_key(store))
    if manifest is None:
        return _committed(store)
    faults.hit("commit", "start", scene_id)
    if not is_staged(store):  # an attempt that slept since then must not undo what another has committed
        return _committed(store)
    storage.delete(_manifest_key(scene_id))
    for key in find_strays(storage, scene_id):
        if key not in manifest.files:
            storage.delete(key)
    for key, facts in manifest.files.items():
        try:
            storage.move(_staged_key(store, key), key)
        except FileNotFoundError:
            if storage.size(key) != facts["bytes"]:
                storage.delete(_journal_key(store))
                raise StoreError(
                    f"{key} was staged in {store.url} and is lost. Check the disk, then run the same command again."
                ) from None
        faults.hit("commit", "middle", key)
    storage.put(_manifest_key(scene_id), _to_json(manifest))
    faults.hit("commit", "end", scene_id)
    storage.delete_all(f"{WORK}/{scene_id}")
    faults.hit("commit", "cleared", scene_id)
    return manifest


def _committed(store: SceneStore) -> Manifest:
    """What an attempt that nobody heard of has committed: the journal goes with the scene's work."""
    manifest = read_manifest(store.storage, store.scene_id)
    if manifest is None or digest(manifest.fingerprint) != store.fingerprint:
        raise StoreError(
            f"{_journal_key(store)} in {store.url} is lost. Check the disk, then run the same command again."
        )
    store.storage.delete_all(f"{WORK}/{store.scene_id}")
    return manifest


def _to_json(manifest: Manifest) -> bytes:
    return json.dumps(asdict(manifest), indent=1, sort_keys=True, ensure_ascii=False).encode()


def _read(storage: Storage, key: str) -> Manifest | None:
    try:
        content = json.loads(storage.get(key))
        return Manifest(content["fingerprint"], content["files"], content["results"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _manifest_key(scene_id: str) -> str:
    return f"scenes/{scene_id}.json"


def _journal_key(store: SceneStore) -> str:
    return f"{store.work}/commit.json"


def _staged_key(store: SceneStore, key: str) -> str:
    return f"{store.work}/{STAGED}/{key}"
