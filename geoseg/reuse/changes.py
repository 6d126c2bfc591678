"""How two fingerprints differ, in words."""

import json
from collections.abc import Sequence
from typing import Any

from geoseg.raster.source.version import Version, describe_change
from geoseg.store.manifest import EXPLAINING, MODEL_NAME, MODEL_PARTS, MODIFIED, Fingerprint

MOST_FILES = 3
"""Number of changed files that a message names."""


def explain_changes(before: Fingerprint, now: Fingerprint) -> str:
    """Describe how two fingerprints differ: files with size and time, models by name, other keys with values."""
    keys = [key for key in sorted({*before, *now} - EXPLAINING) if before.get(key) != now.get(key)]
    changes = {key: f"{key} was {_short(before.get(key))}, now {_short(now.get(key))}" for key in keys}
    if "scene.files" in changes and (files := _explain_files(versions_of(before), versions_of(now))):
        changes["scene.files"] = files
    if "model.sha256" in changes and before.get(MODEL_NAME):
        changes["model.sha256"] = _explain_model(before, now)
    return "; ".join(changes.values())


def _explain_files(before: Sequence[Version], now: Sequence[Version]) -> str:
    if [version.name for version in before] != [version.name for version in now]:
        names = [", ".join(version.name for version in versions) for versions in (before, now)]
        return f"its files were {_shortened(names[0])}, now {_shortened(names[1])}" if before else ""
    changed = [
        f"{new.name} has changed since ({describe_change(old, new)})"
        for old, new in zip(before, now, strict=True)
        if (old.size, old.content) != (new.size, new.content)
    ]
    more = f" and {len(changed) - MOST_FILES} more files" if len(changed) > MOST_FILES else ""
    return "; ".join(changed[:MOST_FILES]) + more


def _explain_model(before: Fingerprint, now: Fingerprint) -> str:
    old, new = before[MODEL_NAME], now[MODEL_NAME]
    parts, others = before.get(MODEL_PARTS, {}), now.get(MODEL_PARTS, {})
    differ = [part for part in sorted({*parts, *others}) if parts.get(part) != others.get(part)]
    names = f"the model was {old}, now {new}" if old != new else f"the model {old} is another one of this name"
    return f"{names}; what differs: {', '.join(differ) or 'model.json'}"


def versions_of(facts: Fingerprint) -> list[Version]:
    """Versions of a scene's files, from its fingerprint; none if an earlier version of geoseg made it."""
    files = zip(facts["scene.files"], facts[MODIFIED], strict=True) if MODIFIED in facts else ()
    return [Version(name, size, content, modified) for (name, size, content), modified in files]


def _short(value: Any) -> str:
    return _shortened(json.dumps(value, ensure_ascii=False))


def _shortened(text: str) -> str:
    return text if len(text) <= 120 else f"{text[:100]}..."
