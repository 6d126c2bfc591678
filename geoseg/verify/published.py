"""Compare the files of an output with its manifests and the reports of its runs."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from geoseg.store.manifest import Manifest, manifest_key, polygons_prefix, rasters_prefix, read_manifest
from geoseg.store.storages.base import Storage
from geoseg.verify.check import Finding
from geoseg.verify.layers import published_layers

PUBLISHED = {"done", "up to date"}
"""Status in a report of scenes whose results were published."""


@dataclass(frozen=True, slots=True)
class ReportedScene:
    """Entry of a published scene in the report of a run."""

    report: str
    """Key of the report."""
    model: str
    """Name of the model."""
    model_sha256: str
    """sha256 of the bundle."""


def published_scenes(output: Path) -> set[str]:
    """Names of scenes with polygons, rasters or a manifest."""
    polygons = {path.name.removeprefix("scene=") for path in output.glob("polygons/scene=*")}
    rasters = {path.name for path in output.glob("rasters/*") if path.is_dir()}
    return polygons | rasters | {path.stem for path in output.glob("scenes/*.json")}


def read_reports(output: Path) -> tuple[dict[str, list[ReportedScene]], list[str]]:
    """Read which scenes the runs of an output have published.

    Returns:
        The entries of each scene, oldest run first; the keys of reports that cannot be read.
    """
    reported: dict[str, list[ReportedScene]] = {}
    unreadable = []
    for path in sorted(output.glob("runs/*/report.json")):
        key = path.relative_to(output).as_posix()
        try:
            report = json.loads(path.read_bytes())
            entry = ReportedScene(key, str(report["model"]["name"]), str(report["model"]["sha256"]))
            for scene in report["scenes"]:
                if scene["status"] in PUBLISHED:
                    reported.setdefault(str(scene["scene_id"]), []).append(entry)
        except (OSError, ValueError, KeyError, TypeError):
            unreadable.append(key)
    return reported, unreadable


def valid_manifest(storage: Storage, scene: str) -> Manifest | None:
    """The manifest of a scene; None if it is missing, or if a file lacks size or sha256."""
    manifest = read_manifest(storage, scene)
    if manifest is None or not all(isinstance(part, dict) for part in (manifest.fingerprint, manifest.results)):
        return None
    try:
        sound = all(
            type(facts["bytes"]) is int and type(facts["sha256"]) is str and _is_of(scene, key)
            for key, facts in manifest.files.items()
        )
    except (AttributeError, KeyError, TypeError):
        return None
    return manifest if sound else None


def check_digests(output: Path, scene: str, manifest: Manifest) -> Iterator[Finding]:
    """Compare the files of a scene with its manifest: size and sha256 of each file, and no additional files."""
    wanted = {f"{rasters_prefix(scene)}/{name}.tif" for name in ("classes", *published_layers(manifest))}
    if "crs" in manifest.results:
        wanted.add(f"{polygons_prefix(scene)}/part-00000.parquet")
    missing = sorted(wanted - manifest.files.keys())
    unnamed = f"names no {', '.join(missing)}" if missing else f"names {len(manifest.files)} files"
    yield Finding("files", "manifest", manifest_key(scene), unnamed, "class map, confidence, polygons", not missing)
    sound = True
    for key, facts in sorted(manifest.files.items()):
        found, expected = _compare(output / key, facts["bytes"], facts["sha256"])
        if found != expected:
            sound = False
            yield Finding("files", "digests", key, found, f"{expected}, as {manifest_key(scene)} says", ok=False)
    for key in sorted(_data_files(output, scene) - manifest.files.keys()):
        sound = False
        yield Finding("files", "digests", key, "a file", f"none: {manifest_key(scene)} does not name it", ok=False)
    if sound:
        yield Finding("files", "digests", manifest_key(scene), "sizes and sha256 as named there", "", ok=True)


def _is_of(scene: str, key: str) -> bool:
    """Whether a key is directly in a folder of the scene's results."""
    folder, _, name = key.rpartition("/")
    return folder in {rasters_prefix(scene), polygons_prefix(scene)} and name not in {"", ".", ".."}


def _data_files(output: Path, scene: str) -> set[str]:
    """Keys of the rasters and parts of a scene. Other files are ignored: GIS tools add some."""
    rasters, parts = (output / prefix for prefix in (rasters_prefix(scene), polygons_prefix(scene)))
    paths = [*rasters.glob("*.tif"), *parts.glob("*.parquet")]
    return {path.relative_to(output).as_posix() for path in paths}


def _compare(path: Path, size: int, sha256: str) -> tuple[str, str]:
    """Actual and expected size, or sha256 if the size is right; equal if the file is unchanged."""
    try:
        found = path.stat().st_size
        if found != size:
            return f"{found:,} bytes", f"{size:,} bytes"
        with path.open("rb") as stream:
            return f"sha256 {hashlib.file_digest(stream, 'sha256').hexdigest()}", f"sha256 {sha256}"
    except FileNotFoundError:
        return "no file", f"{size:,} bytes"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}", f"{size:,} bytes"
