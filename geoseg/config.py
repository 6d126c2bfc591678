"""The settings of a run: one schema for YAML files, environment variables, command-line flags and Python.

Later sources win: the YAML file, then ``GEOSEG_*`` variables (``GEOSEG_TILING__PATCH_PX=512``), then ``--set
tiling.patch_px=512`` and the flags of their own. A key that the schema does not know is an error, wherever it stands.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from geoseg.errors import SettingsError
from geoseg.explain import DATES, explain, shown
from geoseg.strict_yaml import read_yaml

ENVIRONMENT_PREFIX = "GEOSEG_"
FAULT_VARIABLE = "GEOSEG_FAULT"
"""No setting: see `geoseg.faults`."""

MAX_TEXT = 100_000
"""Characters of a text: far more than the longest WKT."""
MAX_BANDS = 65_535
"""Bands of a raster, as many as a TIFF can have."""
MAX_SIDE_PX = 1 << 20
MAX_TIMEOUT_S = 604_800.0


def _split_commas(value: Any) -> Any:
    """Take ``3,2,1`` for ``[3, 2, 1]``: brackets mean something to many shells. A number alone is a list of one."""
    if isinstance(value, int) and not isinstance(value, bool):
        return [value]
    if not isinstance(value, str) or value == "auto":
        return value
    return [int(part) if re.fullmatch(r" *[0-9]{1,9} *", part) else part for part in value.split(",")]


def _no_truth(value: Any) -> Any:
    """Refuse true and false, which Python takes for 1 and 0."""
    if isinstance(value, bool):
        raise PydanticCustomError("truth", "a number")
    return value


def _day(value: Any) -> Any:
    """Refuse 2026: it would be read as seconds since 1970."""
    if isinstance(value, datetime | date) or (isinstance(value, str) and not re.fullmatch(r"[-+.\d\s]*", value)):
        return value
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        return value
    if value is None:
        return None
    raise ValueError(DATES)


def _utc(value: datetime | None) -> datetime | None:
    """A time without a zone is in UTC, a date is its midnight."""
    if value is None or value.tzinfo is None:
        return value and value.replace(tzinfo=UTC)
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("a date of the years 1 to 9999 in UTC") from error


def _plain_text(value: str) -> str:
    if "\0" in value or len(value) > MAX_TEXT:
        raise ValueError(f"a text without zero bytes, of at most {MAX_TEXT} characters")
    return value


def _utf8(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError("a name in UTF-8: rename it") from error
    return value


Auto = Literal["auto"]
Count = Annotated[int, Field(strict=True, ge=1)]
Text = Annotated[str, AfterValidator(_plain_text)]
Name = Annotated[Text, AfterValidator(_utf8)]
Band = Annotated[Count, Field(le=MAX_BANDS)]
NOT_TRUTH = BeforeValidator(_no_truth)
Nodata = Annotated[float, NOT_TRUTH]


def _sha256(value: str) -> str:
    if not re.fullmatch(r"[0-9A-Fa-f]{64}", value):
        raise ValueError("64 hexadecimal digits, as `geoseg models show` prints them")
    return value.lower()


def _crs(value: str) -> str:
    if not re.fullmatch(r"native|EPSG:[0-9]{1,9}", value):
        raise ValueError("native or EPSG:nnnn")
    return value


def _storage(value: str) -> str:
    if not value.strip() or value.startswith("/vsi") or ("://" in value and not value.startswith("s3://")):
        raise ValueError("a directory that every node sees, or s3://BUCKET/PREFIX")
    if "://" in value and re.search(r"[@?]", value):
        raise ValueError("free of credentials; give them in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    return value


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TilingSettings(_Section):
    """How a scene is cut."""

    patch_px: Annotated[Count, Field(le=65_536)] | Auto = "auto"
    """Side of a patch; auto: what the bundle says."""
    overlap_px: Annotated[int, Field(strict=True, ge=0, le=32_768)] | Auto = "auto"
    """Pixels shared by two patches; auto: what the bundle says, else a quarter of a patch."""
    block_px: Annotated[Count, Field(le=MAX_SIDE_PX)] | Auto = "auto"
    """Side of a block, a multiple of patch_px - overlap_px; auto: the largest that memory allows. Changes no result."""


class SceneSettings(_Section):
    """How scenes are read."""

    bands: Annotated[
        Annotated[tuple[Band, ...], Field(min_length=1, max_length=MAX_BANDS)] | Auto, BeforeValidator(_split_commas)
    ] = "auto"
    """Bands of the scene in the order the model wants them, from 1; auto: the first ones, if that is unambiguous."""
    mask_band: Band | None = None
    """Band that is 0 where the scene is not valid."""
    nodata: Nodata | Annotated[tuple[Nodata | None, ...], Field(min_length=1, max_length=MAX_BANDS)] | None = None
    """Nodata value of all bands, or one for each band of the file, instead of what the file declares."""
    nodata_rule: Literal["any", "all"] = "any"
    """A pixel is not valid if any, or only if all, of its bands hold the nodata value."""
    allow_empty: bool = False
    """Publish scenes without a valid pixel; otherwise they fail."""
    assume_crs: Text | None = None
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
    max_nonfinite_share: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), NOT_TRUTH] = 0.5
    """Refuse scenes of which a larger share is NaN or infinite without being nodata."""
    on_read_error: Literal["fail", "nodata"] = "fail"
    """What becomes of what cannot be decoded: the scene fails, or it is nodata and the report says so."""
    force_layout: bool = False
    """Accept scenes that are stored in pieces so large that reading them takes a hundred times the work."""
    observed_at: Annotated[datetime | None, BeforeValidator(_day), AfterValidator(_utc)] = None
    """When the scenes were taken, in UTC unless it names a zone; becomes a column of the polygons."""


class RunSettings(_Section):
    """Where and how the work is done."""

    address: Name = "auto"
    """inline: this process; local: a Ray of its own; auto: a running Ray, else a Ray of its own; or a Ray address."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device of the forward pass; auto: cuda if the cluster has a GPU."""
    workers: Annotated[Count, Field(le=10_000)] | Auto = "auto"
    """Number of predictors: actors, or threads if inline; auto: one a GPU, or a group of `threads` CPUs; inline one."""
    threads: Annotated[Count, Field(le=256)] = 1
    """CPU threads of a forward pass. May change the last bit of a score."""
    precision: Literal["fp32", "bf16"] | Auto = "auto"
    """What convolutions compute in; auto: bf16 where all devices have it, else fp32. ONNX runs as it was exported."""
    on_nonfinite: Literal["fail", "nodata"] = "fail"
    """What becomes of pixels for which the model gives NaN or infinity: the scene fails, or they are nodata."""
    batch_size: Annotated[Count, Field(le=65_536)] | Auto = "auto"
    """Patches of a forward pass; auto: 1 on a CPU, as many as fill a GPU. May change a score's last bit."""
    memory_gib: Annotated[float, Field(gt=0, le=65_536, allow_inf_nan=False), NOT_TRUTH] | Auto = "auto"
    """Memory one block may take while it is predicted; auto: 1 GiB on a CPU, a quarter of a GPU's, at most 16 GiB."""
    start_timeout_s: Annotated[float, Field(ge=1, le=MAX_TIMEOUT_S, allow_inf_nan=False), NOT_TRUTH] = 120.0
    """Seconds the actors and the first answer of every node may take."""
    unit_timeout_s: Annotated[float, Field(ge=1, le=MAX_TIMEOUT_S, allow_inf_nan=False), NOT_TRUTH] = 900.0
    """Seconds one unit of work, such as a block's forward pass, may take before it counts as lost and is done again."""
    verify: bool = False
    """Read all files of scenes that are published already, and do those again of which one has changed."""
    scratch_dir: str | None = None
    """Folder of each node where files of an output in a bucket are built; None: the system's for temporary files."""
    price_per_hour: Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False), NOT_TRUTH] | None = None
    """What all machines of the run together cost in an hour, in any currency; the report tells what 1000 km2 cost."""


class PolygonSettings(_Section):
    """What is published as polygons."""

    crs: Annotated[str, AfterValidator(_crs)] = "native"
    """CRS of the published polygons: native keeps the scene's own."""
    simplify_px: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False), NOT_TRUTH] = 1.0
    """Lines may lose triangles of up to the square of this many pixels; 0 keeps every corner. Leaves no gaps."""
    simplify_m: Annotated[float, Field(ge=0, le=1e7, allow_inf_nan=False), NOT_TRUTH] | None = None
    """The same in metres, instead of simplify_px; for scenes in a projected CRS in metres."""
    min_area_px: Annotated[int, Field(strict=True, ge=0, le=1 << 40)] = 0
    """Areas of fewer pixels take the class of the neighbour with the longest common boundary. Leaves no gaps."""
    min_area_m2: Annotated[float, Field(ge=0, le=1e15, allow_inf_nan=False), NOT_TRUTH] | None = None
    """The same in square metres, instead of min_area_px."""
    classes: tuple[Text, ...] | Literal["all"] = "all"
    """Names of the classes that are published as polygons."""
    max_count: Annotated[Count, Field(le=1 << 40)] = 50_000_000
    """More regions of one class than this fail the scene: they are noise, and would fill memory and disk."""
    not_dissolved: tuple[Text, ...] = ()
    """Names of classes whose polygons stay cut at the patch lattice, such as a background that is everywhere."""


class Settings(_Section):
    """Everything a run can be told."""

    scenes: Annotated[tuple[Text, ...], Field(min_length=1)]
    """Files to segment."""
    model: Name
    """Directory of the model bundle."""
    model_sha256: Annotated[str, AfterValidator(_sha256)] | None = None
    """The only bundle that may run, as `geoseg models show` names it."""
    trust_model_code: bool = False
    """Load model.pt2 and model.torchscript.pt, whose loaders can run code."""
    output: Annotated[Name, AfterValidator(_storage)]
    """Directory of the results, visible to every node, or s3://BUCKET/PREFIX."""
    overwrite: bool = False
    """Replace scenes that the output holds made otherwise; those made alike stay."""
    tiling: TilingSettings = TilingSettings()
    scene: SceneSettings = SceneSettings()
    run: RunSettings = RunSettings()
    polygons: PolygonSettings = PolygonSettings()

    @model_validator(mode="wrap")
    @classmethod
    def _say_what_is_wrong(cls, data: Any, handler: ModelWrapValidatorHandler["Settings"]) -> "Settings":
        """Turn what pydantic raises into a `SettingsError`, also where settings are built in Python."""
        try:
            return handler(data)
        except ValidationError as error:
            raise SettingsError(explain(error, Settings.model_json_schema())) from error


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
    except SettingsError as error:
        raise SettingsError(f"{error}{origin}") from error


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
        content = read_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}. Give --config an existing YAML file.") from error
    except ValueError as error:  # not UTF-8 is one, too
        raise SettingsError(f"{path} is not valid YAML: {error}. Correct it; see configs/.") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError(
            f"{path} holds a {type(content).__name__}, not settings such as `output: results`. See configs/."
        )
    return content


def _parse(text: str, source: str) -> Any:
    try:
        return read_yaml(text)
    except ValueError as error:
        raise SettingsError(
            f"{source}={shown(text)} is not a valid YAML value: {error}. Correct it; quote text that is no YAML."
        ) from error


def _assign(target: dict[str, Any], keys: list[str], value: Any, name: str) -> None:
    for key in keys[:-1]:
        target = target.setdefault(key, {})
        if not isinstance(target, dict):
            raise SettingsError(f"{shown(name)} cannot be set: {key} is a value, not a section. Correct its name.")
    target[keys[-1]] = value
