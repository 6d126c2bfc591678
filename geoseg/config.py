"""The settings of a run: one schema for YAML files, environment variables, command-line flags and Python.

Later sources win: the YAML file, then ``GEOSEG_*`` variables (``GEOSEG_TILING__PATCH_PX=512``), then ``--set
tiling.patch_px=512`` and the flags of their own. A key that the schema does not know is an error, wherever it stands.
"""

import difflib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from geoseg.errors import SettingsError

ENVIRONMENT_PREFIX = "GEOSEG_"
FAULT_VARIABLE = "GEOSEG_FAULT"
"""No setting: see `geoseg.run.faults`."""

Auto = Literal["auto"]
Positive = Annotated[int, Field(ge=1, strict=True)]
HOW_TO_GIVE = {"scenes": "SCENE...", "model": "--model BUNDLE", "output": "--output DIR"}
"""The flags of the settings that every run needs."""


def _split_commas(value: Any) -> Any:
    """Take ``3,2,1`` for ``[3, 2, 1]``: brackets mean something to many shells."""
    if not isinstance(value, str) or value == "auto":
        return value
    return [int(part) if part.strip().isdecimal() else part for part in value.split(",")]


def _no_bare_number(value: Any) -> Any:
    """Refuse 2026: it would be read as seconds since 1970."""
    if isinstance(value, int | float):
        raise ValueError("write a date such as 2026-06-21 or 2026-06-21T10:30:00Z")  # noqa: TRY004  pydantic's way
    return value


Sha256 = Annotated[str, Field(pattern=r"^[0-9A-Fa-f]{64}$"), AfterValidator(str.lower)]


def _storage(value: str) -> str:
    if not value.strip() or value.startswith("/vsi") or ("://" in value and not value.startswith("s3://")):
        raise ValueError("it must be a directory that every node sees, or s3://BUCKET/PREFIX")
    if "://" in value and re.search(r"[@?]", value):
        raise ValueError("it must hold no credentials; give them in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    return value


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TilingSettings(_Section):
    """How a scene is cut."""

    patch_px: Positive | Auto = "auto"
    """Side of a patch; auto: what the bundle says."""
    overlap_px: Annotated[int, Field(ge=0)] | Auto = "auto"
    """Pixels shared by two patches; auto: what the bundle says, else a quarter of a patch."""
    block_px: Positive | Auto = "auto"
    """Side of a block, a multiple of patch_px - overlap_px; auto: the largest that memory allows. Changes no result."""


class SceneSettings(_Section):
    """How scenes are read."""

    bands: Annotated[tuple[Positive, ...] | Auto, BeforeValidator(_split_commas)] = "auto"
    """Bands of the scene in the order the model wants them, from 1; auto: the first ones, if that is unambiguous."""
    mask_band: Positive | None = None
    """Band that is 0 where the scene is not valid."""
    nodata_rule: Literal["any", "all"] = "any"
    """A pixel is not valid if any, or only if all, of its bands hold the nodata value."""
    assume_crs: str | None = None
    """CRS of scenes that have none, such as EPSG:32633."""
    remote: bool = False
    """Accept https:// and s3:// as scenes, and in VRTs."""
    allow_private_hosts: bool = False
    """With remote: accept http:// and hosts of private networks, this machine and metadata services too."""
    allow_ungeoreferenced: bool = False
    """Accept scenes without a CRS: rasters are published, polygons are not."""
    strict_bands: bool = False
    """Refuse scenes whose bands do not bear the names that the model gives them."""
    expand_palette: bool = False
    """Read a paletted band as the red, green and blue that its indices stand for."""
    apply_scale: bool = False
    """Turn stored numbers into what they stand for by the scale and offset that the file declares."""
    max_nonfinite_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Refuse scenes of which a larger share is NaN or infinite without being nodata."""
    on_read_error: Literal["fail", "nodata"] = "fail"
    """What becomes of what cannot be decoded: the scene fails, or it is nodata and the report says so."""
    force_layout: bool = False
    """Accept scenes that are stored in pieces so large that reading them takes a hundred times the work."""
    observed_at: Annotated[datetime | None, BeforeValidator(_no_bare_number)] = None
    """When the scenes were taken; becomes a column of the polygons."""


class RunSettings(_Section):
    """Where and how the work is done."""

    address: str = "auto"
    """inline: this process; local: a Ray of its own; auto: a running Ray, else a Ray of its own; or a Ray address."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device of the forward pass; auto: cuda if the cluster has a GPU."""
    workers: Positive | Auto = "auto"
    """Number of predictors: actors, or threads if inline; auto: one a GPU, or a group of `threads` CPUs; inline one."""
    threads: Positive = 1
    """CPU threads of a forward pass. May change the last bit of a score."""
    precision: Literal["fp32", "bf16"] | Auto = "auto"
    """What convolutions compute in; auto: bf16 where all devices have it, else fp32. ONNX runs as it was exported."""
    on_nonfinite: Literal["fail", "nodata"] = "fail"
    """What becomes of pixels for which the model gives NaN or infinity: the scene fails, or they are nodata."""
    batch_size: Positive | Auto = "auto"
    """Patches of a forward pass; auto: 1 on a CPU, as many as fill a GPU. May change a score's last bit."""
    memory_gib: Annotated[float, Field(gt=0, allow_inf_nan=False)] | Auto = "auto"
    """Memory one block may take while it is predicted; auto: 1 GiB on a CPU, a quarter of a GPU's, at most 16 GiB."""
    start_timeout_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 120.0
    """Seconds the actors and the first answer of every node may take."""
    unit_timeout_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 900.0
    """Seconds one unit of work, such as a block's forward pass, may take before it counts as lost and is done again."""

    price_per_hour: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """What all machines of the run together cost in an hour, in any currency; the report tells what 1000 km2 cost."""


class PolygonSettings(_Section):
    """What is published as polygons."""

    crs: Annotated[str, Field(pattern=r"^(native|EPSG:\d+)$")] = "native"
    """CRS of the published polygons: native keeps the scene's own."""
    simplify_px: Annotated[float, Field(ge=0, le=1000)] = 1.0
    """Lines may lose triangles of up to the square of this many pixels; 0 keeps every corner. Leaves no gaps."""
    simplify_m: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """The same in metres, instead of simplify_px; for scenes in a projected CRS in metres."""
    min_area_px: Annotated[int, Field(ge=0, strict=True)] = 0
    """Areas of fewer pixels take the class of the neighbour with the longest common boundary. Leaves no gaps."""
    min_area_m2: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """The same in square metres, instead of min_area_px."""
    classes: tuple[str, ...] | Literal["all"] = "all"
    """Names of the classes that are published as polygons."""
    max_count: Positive = 50_000_000
    """More regions of one class than this fail the scene: they are noise, and would fill memory and disk."""
    not_dissolved: tuple[str, ...] = ()
    """Names of classes whose polygons stay cut at the patch lattice, such as a background that is everywhere."""


class Settings(_Section):
    """Everything a run can be told."""

    scenes: Annotated[tuple[str, ...], Field(min_length=1)]
    """Files to segment."""
    model: str
    """Directory of the model bundle."""
    model_sha256: Sha256 | None = None
    """The only bundle that may run, as `geoseg models show` names it."""
    trust_model_code: bool = False
    """Load model.pt2 and model.torchscript.pt, whose loaders can run code."""
    output: Annotated[str, AfterValidator(_storage)]
    """Directory of the results, visible to every node, or s3://BUCKET/PREFIX."""
    overwrite: bool = False
    """Replace scenes that the output holds made otherwise; those made alike stay."""
    tiling: TilingSettings = TilingSettings()
    scene: SceneSettings = SceneSettings()
    run: RunSettings = RunSettings()
    polygons: PolygonSettings = PolygonSettings()


def load_settings(
    file: str | Path | None = None,
    assignments: Iterable[str] = (),
    flags: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """Merge all sources and check them.

    Args:
        file: YAML file.
        assignments: ``a.b=c`` as given to ``--set``; the value is read as YAML.
        flags: Settings that have a flag of their own, by dotted key; None values are skipped.
        environment: Environment variables; default: those of the process.

    Raises:
        SettingsError: If a source cannot be read, a key is unknown or a value does not fit.
    """
    merged: dict[str, Any] = _read_yaml(Path(file)) if file is not None else {}
    origin = f" (from {file}, {ENVIRONMENT_PREFIX}* and the command line)" if file else ""
    for key, value in _sources(assignments, flags or {}, os.environ if environment is None else environment):
        _assign(merged, key.split("."), value, key)
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        raise SettingsError("\n".join(_explain(item) for item in error.errors()) + origin) from error


def _sources(
    assignments: Iterable[str], flags: Mapping[str, Any], environment: Mapping[str, str]
) -> Iterator[tuple[str, Any]]:
    """Dotted keys and values in rising priority."""
    for name in sorted(environment):
        if name.startswith(ENVIRONMENT_PREFIX) and name != FAULT_VARIABLE:
            key = name.removeprefix(ENVIRONMENT_PREFIX).lower().replace("__", ".")
            yield key, _parse(environment[name], name)
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key:
            raise SettingsError(f"--set {assignment!r} is not of the form key=value, such as tiling.patch_px=512.")
        yield key.strip(), _parse(text, f"--set {key}")
    yield from ((key, value) for key, value in flags.items() if value is not None)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}. Give --config an existing YAML file.") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: not UTF-8, or a date such as 2026-02-30
        raise SettingsError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError(f"{path} holds a {type(content).__name__}, not settings such as `output: results`.")
    return content


def _parse(text: str, source: str) -> Any:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        raise SettingsError(f"{source}={text!r} is not a valid YAML value: {' '.join(str(error).split())}") from error


def _assign(target: dict[str, Any], keys: list[str], value: Any, name: str) -> None:
    for key in keys[:-1]:
        target = target.setdefault(key, {})
        if not isinstance(target, dict):
            raise SettingsError(f"{name} cannot be set: {key} is a value, not a section.")
    target[keys[-1]] = value


def _explain(item: Mapping[str, Any]) -> str:
    """One problem in words: key, value, what is allowed."""
    # Parts of a union stand in the location as "int", "constrained-int" or "literal['auto']": not a person's keys.
    known = {*_keys(Settings), *(key.rpartition(".")[2] for key in _keys(Settings))}
    parts = [str(part) for part in item["loc"] if str(part) in known or item["type"] == "extra_forbidden"]
    key = ".".join(parts)
    if item["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, _keys(Settings), n=1, cutoff=0.5)
        return f"Unknown setting {key}." + (f" Did you mean {near[0]}?" if near else " See configs/README.md.")
    if item["type"] == "missing":
        return f"Setting {key} is missing. Give {HOW_TO_GIVE[key]}, or {key}: in a --config file."
    return f"Setting {key}={item['input']!r} is not allowed: {item['msg']}."


def _keys(section: type[BaseModel], prefix: str = "") -> list[str]:
    """All dotted keys of a schema."""
    keys = []
    for name, field in section.model_fields.items():
        keys.append(prefix + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            keys += _keys(field.annotation, f"{prefix}{name}.")
    return keys
