"""A STAC Item of the MLM extension, or ``mlm.json`` of mlstac, with the model file beside it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from geoseg.errors import SettingsError
from geoseg.importer.facts.json_files import read_object
from geoseg.importer.sources.mlm_facts import mlm_facts
from geoseg.importer.sources.smp_networks import CLASSES
from geoseg.importer.sources.source import Request, Source

SUFFIX = ".json"
ROLES = ("mlm:model", "mlm:weights", "model")


def is_mlm_item(path: Path) -> bool:
    """Return whether it is a JSON file with properties of the MLM extension, or a folder with ``mlm.json``."""
    if path.is_dir():
        return (path / "mlm.json").is_file()
    if not path.is_file() or path.suffix.lower() != SUFFIX:
        return False
    document = read_object(path)
    properties = document.get("properties")
    return any(
        str(key).startswith("mlm:") for key in (*document, *(properties if isinstance(properties, dict) else ()))
    )


def read_mlm_item(request: Request, read: Callable[[Request], Source]) -> Source:
    """Read the Item and the model file that it names.

    Args:
        request: What was asked for.
        read: Reader of any model file.

    Raises:
        SettingsError: If the Item names no model file that is here, or cannot be followed.
    """
    path = request.path / "mlm.json" if request.path.is_dir() else request.path
    document = read_object(path)
    asset = _asset(document, path)
    facts = mlm_facts(document, path.name, request.scaling_given)
    architecture = request.architecture
    if architecture is None and facts.architecture is not None:
        last = facts.architecture.value.rpartition(".")[2]
        architecture = last if last.lower() in map(str.lower, CLASSES) else None
    source = read(replace(request, path=asset, architecture=architecture))
    own = facts if source.facts.architecture is None else replace(facts, architecture=None)
    return replace(source, kind=f"MLM, {source.kind}", facts=source.facts.overruled_by(own))


def _asset(document: Mapping[str, Any], path: Path) -> Path:
    assets = document.get("assets")
    listed = [one for one in assets.values() if isinstance(one, Mapping)] if isinstance(assets, Mapping) else []
    href = next((one.get("href") for role in ROLES for one in listed if role in (one.get("roles") or ())), None)
    if not isinstance(href, str):
        raise SettingsError(
            f"{path} names no asset with the role {ROLES[0]}. Add the asset, or import its file itself."
        )
    if "://" in href:
        raise SettingsError(
            f"{path} names its model as {href}, and geoseg downloads nothing. Download it, and give its name as the "
            "asset's href."
        )
    file = path.parent / href
    if not file.exists():
        raise SettingsError(f"{path} names its model as {href}, and {file} does not exist. Put it there.")
    return file
