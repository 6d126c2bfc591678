"""Detect changes of a scene's files: since earlier results were made, and during a run.

A fingerprint identifies each file by its name, its size and a value that changes with its content (digest or ETag). The
time of a local file is only a hint: if it has changed, the content is read again.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from geoseg.errors import SceneError, UnreachableError
from geoseg.raster.source.content_digest import PIECE_BYTES, is_sampled, pieces_per_file, take_digest
from geoseg.raster.source.identity import identify_all
from geoseg.raster.source.scene import Scene
from geoseg.raster.source.version import Version, describe_change
from geoseg.reuse.changes import versions_of
from geoseg.store.manifest import Fingerprint

READERS = 16


def settle_versions(scene: Scene, recorded: Iterable[Fingerprint]) -> tuple[Scene, list[str]]:
    """Complete the versions of a scene's files with a digest of their content.

    The digest of a local file is taken from a recorded fingerprint if size and time are still the same.

    Args:
        scene: The scene.
        recorded: Fingerprints of the scene in the output.

    Returns:
        The scene with complete versions, and warnings.

    Raises:
        SceneError: If a file cannot be read.
    """
    known = [versions for facts in recorded if len(versions := versions_of(facts)) == len(scene.files)]
    with ThreadPoolExecutor(READERS) as pool:
        settled = tuple(
            pool.map(
                lambda file, version, *before: _settle(file, version, before, pieces_per_file(len(scene.files))),
                scene.files,
                scene.versions,
                *known,
            )
        )
    warnings = [
        f"{file}: its server tells neither which version it is nor when it was changed, so geoseg will not notice when "
        "it is replaced: results would count as up to date."
        for file, version in zip(scene.files, settled, strict=True)
        if version.content is None
    ]
    for before in known:
        warnings += _touched(scene.files, before, settled)
    return replace(scene, versions=settled), list(dict.fromkeys(warnings))


def check_unchanged(scene: Scene) -> list[str]:
    """Check that no file of a scene has changed since it was planned, so that no mixture is published.

    Args:
        scene: The scene as it was when it was planned.

    Returns:
        Warnings.

    Raises:
        SceneError: If a file has changed.
        UnreachableError: If a file cannot be reached.
    """
    pieces, seen = pieces_per_file(len(scene.files)), []
    asked = [(file, version) for file, version in zip(scene.files, scene.versions, strict=True) if not version.declared]
    for (file, before), after in zip(asked, identify_all(file for file, _ in asked), strict=True):
        if before.is_known and not after.is_known:
            raise UnreachableError(
                f"{file} is gone or out of reach, or may no longer be read. What is done is kept: run the same command "
                "again when it is back."
            )
        now = _settle(file, after, [before], pieces)
        if _key(now) != _key(before):
            raise SceneError(
                f"{file} has changed since the run began ({describe_change(before, now)}). Run the same command again: "
                "the scene is done anew."
            )
        seen.append(now)
    return _touched([file for file, _ in asked], [version for _, version in asked], seen)


def _settle(file: str, version: Version, before: Sequence[Version], pieces: int) -> Version:
    """Add the digest to the version of a local file."""
    if version.content is not None or version.modified is None:
        return version
    same = [
        old.content
        for old in before
        if (old.name, old.size, old.modified) == (version.name, version.size, version.modified) and old.content
    ]
    return replace(version, content=same[0] if same else take_digest(file, pieces))


def _touched(files: Sequence[str], before: Sequence[Version], now: Sequence[Version]) -> list[str]:
    """Warn of large files with another time whose content was compared in samples only."""
    pieces = pieces_per_file(len(files))
    return [
        f"{file} has another time and no other content, as far as was looked ({describe_change(old, new)}): {pieces} "
        f"pieces of {PIECE_BYTES >> 10} KiB are the same. If it was edited in place, give another --output."
        for file, old, new in zip(files, before, now, strict=True)
        if _key(old) == _key(new) and old.modified != new.modified and is_sampled(new.size, pieces) and _is_local(new)
    ]


def _is_local(version: Version) -> bool:
    return version.content is not None and version.content.startswith("sha256:")


def _key(version: Version) -> tuple[Any, ...]:
    return version.name, version.size, version.content
