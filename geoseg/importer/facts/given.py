"""Facts that the user gives: options of the command line and presets."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from geoseg.errors import SettingsError
from geoseg.importer.facts.facts import Fact, Facts
from geoseg.importer.facts.legends import make_legend, parse_classes, published_legend
from geoseg.model.bundle.scaling import Step


@dataclass(frozen=True)
class Given:
    """Options of `geoseg models import`; None where an option is not given."""

    name: str | None = None
    bands: str | None = None
    """Names with commas."""
    classes: str | None = None
    """Names with commas, or a file."""
    legend: str | None = None
    scaling: str | None = None
    """``none``, ``/10000``, or steps of ``geoseg:scaling`` as JSON or as a file."""
    preset: str | None = None
    activation: str | None = None
    patch_px: int | None = None
    overlap_px: int | None = None
    pixel_m: float | None = None
    license: str | None = None
    citation: str | None = None


def given_facts(given: Given) -> Facts:
    """Facts of the options, which overrule those of the preset.

    Raises:
        SettingsError: If one cannot be understood.
    """
    if given.classes is not None and given.legend is not None:
        raise SettingsError("--classes and --legend both name the classes. Give one of them.")
    facts = _of_preset(given.preset) if given.preset is not None else Facts()
    options: dict[str, Any] = {
        name: Fact(getattr(given, name), f"--{name.replace('_', '-')}")
        for name in ("name", "activation", "patch_px", "overlap_px", "pixel_m", "license", "citation")
        if getattr(given, name) is not None
    }
    if given.bands is not None:
        options["bands"] = Fact(parse_bands(given.bands), "--bands")
    if given.classes is not None:
        options["legend"] = Fact(parse_classes(given.classes), "--classes")
    if given.legend is not None:
        options["legend"] = Fact(published_legend(given.legend), f"--legend {given.legend}")
    if given.scaling is not None:
        options["scaling"] = Fact(parse_scaling(given.scaling), "--scaling")
    return facts.with_(**options)


def parse_bands(text: str) -> tuple[str, ...]:
    """Names of bands with commas.

    Raises:
        SettingsError: If one is empty or stands twice.
    """
    bands = tuple(name.strip() for name in text.split(","))
    if not all(bands):
        raise SettingsError(f"--bands {text} has an empty name. Separate the names by single commas.")
    if twice := [name for index, name in enumerate(bands) if name in bands[:index]]:
        raise SettingsError(
            f"--bands names {twice[0]} twice. Name the bands of a second date {twice[0]}@2, of a third {twice[0]}@3."
        )
    return bands


def parse_scaling(text: str) -> list[dict[str, Any]]:
    """Steps of ``geoseg:scaling``.

    Args:
        text: ``none`` (raw numbers), ``/V`` (divided by V), JSON, or the name of a JSON file.

    Raises:
        SettingsError: If it is none of these.
    """
    content, said_by = text.strip(), "--scaling"
    if content == "none":
        return [{"type": "affine"}]
    if content.startswith("/") and not Path(content).is_file():
        content = json.dumps([{"type": "divide", "value": _number(content[1:], text)}])
    elif not content.startswith(("[", "{")):
        said_by = f"--scaling {content}"
        try:
            content = Path(content).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise SettingsError(
                f"{said_by} is neither none, nor a division such as /255, nor JSON, nor a file ({reason})."
            ) from error
    try:
        steps = json.loads(content)
        steps = steps if isinstance(steps, list) else [steps]
        TypeAdapter(list[Step]).validate_python(steps)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise SettingsError(f"{said_by}: {where}: {problem['msg']}. configs/BUNDLE.md lists the steps.") from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{said_by} is not JSON: {error}. configs/BUNDLE.md lists the steps.") from error
    return steps


def _number(text: str, whole: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise SettingsError(f"--scaling {whole} is neither a division such as /255 nor an existing file.") from error


def _of_preset(name: str) -> Facts:
    known = presets()
    if name not in known:
        raise SettingsError(f"--preset {name} is unknown; known are {', '.join(known)}.")
    preset, origin = known[name], f"preset {name}"
    facts: dict[str, Any] = {
        key: Fact(preset[key], origin)
        for key in ("scaling", "pixel_m", "patch_px", "license", "citation")
        if key in preset
    }
    if "bands" in preset:
        facts["bands"] = Fact(tuple(preset["bands"]), origin)
    if "classes" in preset:
        facts["legend"] = Fact(make_legend(list(preset["classes"]), origin, preset["classes"]), origin)
    if "legend" in preset:
        facts["legend"] = Fact(published_legend(preset["legend"]), origin)
    return Facts(**facts)


@cache
def presets() -> Mapping[str, Mapping[str, Any]]:
    """The presets by name: keys of `presets.yaml`."""
    return dict(yaml.safe_load(files("geoseg.importer.facts").joinpath("presets.yaml").read_text("utf-8")))
