"""The manifest of a published scene: its fingerprint, and size and sha256 of each file."""

import hashlib
import json
from collections.abc import Mapping, Set
from dataclasses import asdict, dataclass
from typing import Any

from geoseg.store.storages.base import Storage, read_all

MODIFIED, MODEL_NAME, MODEL_PARTS = "scene.modified", "model.name", "model.parts"

EXPLAINING = frozenset({MODIFIED, MODEL_NAME, MODEL_PARTS})
"""Keys of a fingerprint that only explain differences: times of files, name of the model and digests of its parts."""

Fingerprint = Mapping[str, Any]
"""A whole fingerprint: dotted names and JSON values."""


def deciding(facts: Fingerprint) -> dict[str, Any]:
    """The keys of a fingerprint that decide the results: all but `EXPLAINING`."""
    return {key: value for key, value in facts.items() if key not in EXPLAINING}


def digest(facts: Fingerprint) -> str:
    """Digest of the deciding keys, 16 hex digits."""
    return hashlib.sha256(json.dumps(deciding(facts), sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Manifest:
    """The published results of a scene. Equal results give equal bytes."""

    fingerprint: Fingerprint
    """See `geoseg.plan.fingerprint`."""
    files: Mapping[str, Mapping[str, Any]]
    """Size in ``bytes`` and ``sha256`` of each file, by its key in the output."""
    results: Mapping[str, Any]
    """Counts and areas, for reports."""


def rasters_prefix(scene_id: str) -> str:
    """Folder of class map and confidence."""
    return f"rasters/{scene_id}"


def polygons_prefix(scene_id: str) -> str:
    """Folder of the GeoParquet parts."""
    return f"polygons/scene={scene_id}"


def manifest_key(scene_id: str) -> str:
    """Key of the manifest of a scene."""
    return f"scenes/{scene_id}.json"


def read_manifest(storage: Storage, scene_id: str) -> Manifest | None:
    """The manifest of a scene; None if the scene is not published completely."""
    return read_json(storage, manifest_key(scene_id))


def published_scenes(storage: Storage, without: Set[str]) -> dict[str, Manifest]:
    """The manifests of all published scenes except those of ``without``."""
    ids = [key.removeprefix("scenes/").removesuffix(".json") for key in storage.keys("scenes")]
    ids = [scene_id for scene_id in ids if scene_id not in without]
    manifests = read_all(lambda scene_id: read_manifest(storage, scene_id), ids)
    return {scene_id: manifest for scene_id, manifest in zip(ids, manifests, strict=True) if manifest is not None}


def find_strays(storage: Storage, scene_id: str) -> list[str]:
    """Keys of all files in the folders of a scene's results, whether a manifest names them or not."""
    return [key for prefix in (rasters_prefix(scene_id), polygons_prefix(scene_id)) for key in storage.keys(prefix)]


def to_json(manifest: Manifest) -> bytes:
    """A manifest as the bytes of its file."""
    return json.dumps(asdict(manifest), indent=1, sort_keys=True, ensure_ascii=False).encode()


def read_json(storage: Storage, key: str) -> Manifest | None:
    """Read a manifest or a journal; None if there is none, or a damaged one."""
    try:
        content = json.loads(storage.get(key))
        return Manifest(content["fingerprint"], content["files"], content["results"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
