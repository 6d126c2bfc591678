"""The settings of a run: one schema for YAML files, environment variables, command-line flags and Python.

Later sources override earlier ones: the YAML file, then ``GEOSEG_*`` variables (``GEOSEG_TILING__PATCH_PX=512``), then
``--set tiling.patch_px=512`` and the dedicated flags. A key that is not in the schema is an error in every source.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ModelWrapValidatorHandler, ValidationError, model_validator

from geoseg.errors import SettingsError
from geoseg.explain import explain, shown
from geoseg.mosaic_settings import MosaicSettings
from geoseg.quality_settings import QualitySettings
from geoseg.setting_types import (
    NO_BOOL,
    Aoi,
    Auto,
    Band,
    Bands,
    Count,
    Crs,
    Finite,
    Name,
    Nodata,
    Output,
    Rasters,
    Scales,
    Seconds,
    Sha256,
    Text,
    Time,
    Whole,
)
from geoseg.strict_yaml import read_yaml

ENVIRONMENT_PREFIX = "GEOSEG_"
FAULT_VARIABLE = "GEOSEG_FAULT"
"""Not a setting; see `geoseg.faults`."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TilingSettings(_Section):
    """Patches and blocks."""

    patch_px: Annotated[Count, Field(le=65_536)] | Auto = "auto"
    """Side of a patch; auto: the bundle's value."""
    overlap_px: Annotated[Whole, Field(le=32_768)] | Auto = "auto"
    """Pixels shared by two patches; auto: the bundle's value, else a quarter of a patch."""
    block_px: Annotated[Count, Field(le=1 << 20)] | Auto = "auto"
    """Side of a block, a multiple of patch_px - overlap_px; auto: the largest that memory allows. Changes no result."""


class SceneSettings(_Section):
    """Reading of scenes."""

    bands: Bands = "auto"
    """Bands of the scene in the model's order, from 1; auto: the first ones, if that is unambiguous."""
    mask_band: Band | None = None
    """Band that is 0 where the scene is not valid."""
    aoi: Aoi | None = None
    """Area of interest: a vector file of polygons, or xmin,ymin,xmax,ymax. Pixels outside are nodata."""
    aoi_crs: Text | None = None
    """CRS of an area without one, such as EPSG:32633; of xmin,ymin,xmax,ymax by default EPSG:4326."""
    nodata: Nodata | None = None
    """Nodata value of all bands, or one for each band of the file, instead of what the file declares."""
    quality: QualitySettings | None = None
    """Band with clouds and the like; null: none."""
    collar: Literal["none", "auto"] = "none"
    """auto: black or white pixels around the picture, connected with the rim of the scene, are nodata."""
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
    """Refuse scenes whose bands have other names than the model's."""
    expand_palette: bool = False
    """Read a paletted band as red, green and blue."""
    apply_scale: bool = False
    """Apply the scale and offset that the file declares."""
    max_nonfinite_share: Annotated[Finite, Field(ge=0, le=1), NO_BOOL] = 0.5
    """Refuse scenes with a larger share of NaN or infinite pixels that are not nodata."""
    on_read_error: Literal["fail", "nodata"] = "fail"
    """If pixels cannot be decoded: the scene fails, or they become nodata and the report lists them."""
    force_layout: bool = False
    """Accept scenes whose layout makes reading a hundred times as expensive."""
    observed_at: Time = None
    """Time of the scenes, in UTC if it has no zone; a column of the polygons."""
    resolution_m: Annotated[Finite, Field(gt=0, le=1e6), NO_BOOL] | None = None
    """Side of the pixels, in metres; null: those of the file, or the finest of several."""
    resampling: Literal["nearest", "bilinear", "cubic"] = "bilinear"
    """How sources of another grid or resolution are brought to the scene's; masks take the nearest pixel."""


class RunSettings(_Section):
    """Where and how a run works."""

    address: Name = "auto"
    """inline: this process; local: a new local Ray; auto: a running Ray, else a local one; or a Ray address."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device of the forward pass; auto: cuda if the cluster has a GPU."""
    workers: Annotated[Count, Field(le=10_000)] | Auto = "auto"
    """Number of predictors: actors, or threads if inline; auto: one per GPU or per `threads` CPUs; inline: one."""
    threads: Annotated[Count, Field(le=256)] = 1
    """CPU threads of a forward pass. May change the last bit of a score."""
    precision: Literal["fp32", "bf16"] | Auto = "auto"
    """Number format of convolutions; auto: bf16 if all devices have it, else fp32. ONNX runs as it was exported."""
    on_nonfinite: Literal["fail", "nodata"] = "fail"
    """If scaled pixels or logits are NaN or infinite: the scene fails, or these pixels become nodata."""
    batch_size: Annotated[Count, Field(le=4_096)] | Auto = "auto"
    """Patches of a forward pass; auto: 1 on a CPU, as many as fit on a GPU. May change the last bit of a score."""
    memory_gib: Annotated[Finite, Field(gt=0, le=65_536), NO_BOOL] | Auto = "auto"
    """Memory one block may take while it is predicted; auto: 1 GiB on a CPU, a quarter of a GPU's, at most 16 GiB."""
    start_timeout_s: Seconds = 120.0
    """Time limit for the start of actors and the first answer of every node."""
    unit_timeout_s: Seconds = 900.0
    """Time limit of a unit of work, such as the forward pass of a block; after it the unit is repeated."""
    verify: bool = False
    """Read all files of published scenes, and do a scene again if one of its files has changed."""
    scratch_dir: str | None = None
    """Folder of each node for files before their upload to a bucket; None: the system's temporary folder."""
    price_per_hour: Annotated[Finite, Field(ge=0, le=1e12), NO_BOOL] | None = None
    """Price of all machines of the run together, in any currency; the report then has the cost of 1000 km2."""


class InferenceSettings(_Section):
    """From the network to the classes."""

    augment: Literal["none", "flips", "flips-and-turns"] = "none"
    """Average the probabilities of 4 mirrored views of each patch, or of these and their quarter turns, 8."""
    temperature: Annotated[Finite, Field(gt=0, le=1000), NO_BOOL] = 1.0
    """Divides the logits: above 1 lowers the confidence, below 1 raises it."""
    scales: Scales = (1.0,)
    """Sizes at which each patch is seen, relative to its own; the probabilities are averaged."""
    crf: Literal["none", "convolutional"] = "none"
    """Conditional random field on the probabilities of each patch: ConvCRF, arXiv:1805.04777."""
    crf_radius_px: Annotated[Count, Field(le=15)] = 3
    """Pixels exchange messages within this distance on both axes."""
    crf_iterations: Annotated[Count, Field(le=100)] = 5
    """Iterations of the mean field."""
    crf_appearance: Annotated[Finite, Field(ge=0, le=1000), NO_BOOL] = 10.0
    """Weight of neighbours with similar bands."""
    crf_appearance_sd: Annotated[Finite, Field(gt=0, le=1e6), NO_BOOL] = 0.25
    """Difference of scaled bands that counts as similar; 0.25 suits bands with a standard deviation of 1."""
    crf_smoothness: Annotated[Finite, Field(ge=0, le=1000), NO_BOOL] = 3.0
    """Weight of near neighbours of any colour."""
    crf_smoothness_px: Annotated[Finite, Field(gt=0, le=1000), NO_BOOL] = 3.0
    """Distance of neighbours that counts as near."""
    smoothing_radius_px: Annotated[Whole, Field(le=50)] = 0
    """A pixel takes the most frequent class within this distance on both axes; 0: its own. Before the minimum area."""
    thresholds: dict[Text, Annotated[Finite, Field(gt=0, le=1), NO_BOOL]] = {}
    """Least probability of a class, by its name; a pixel whose winner has less becomes unsure."""
    unsure_class: Annotated[Text, Field(min_length=1)] = "unsure"
    """Name of the class of unsure pixels, after those of the model."""


class RasterSettings(_Section):
    """Selection of the rasters beside the class map."""

    publish: Rasters = ("confidence",)
    """Of confidence, probabilities (a band for each class), margin (of the two best) and entropy."""


class PolygonSettings(_Section):
    """Selection and form of the polygons."""

    crs: Crs = "native"
    """CRS of the published polygons; native: that of the scene."""
    simplify_px: Annotated[Finite, Field(ge=0, le=1000), NO_BOOL] = 1.0
    """Largest distance of the lines from the pixel edges, with few vertices; below 0.5 the stairs stay. No gaps."""
    simplify_m: Annotated[Finite, Field(ge=0, le=1e7), NO_BOOL] | None = None
    """The same in metres, instead of simplify_px; for scenes in a projected CRS in metres."""
    min_area_px: Annotated[Whole, Field(le=1 << 40)] = 0
    """Smaller areas get the class of the neighbour with the longest common boundary. Leaves no gaps."""
    min_area_m2: Annotated[Finite, Field(ge=0, le=1e15), NO_BOOL] | None = None
    """The same in square metres, instead of min_area_px."""
    classes: tuple[Text, ...] | Literal["all"] = "all"
    """Names of the classes to publish."""
    max_count: Annotated[Count, Field(le=1 << 40)] = 50_000_000
    """Limit for the number of regions; a scene with more fails, because its class map is noise."""
    not_dissolved: tuple[Text, ...] = ()
    """Names of classes whose polygons stay cut at the patch lattice, such as a background."""


class Settings(_Section):
    """All settings of a run."""

    scenes: tuple[Text | dict[Text, Text], ...]
    """Files or STAC Items to segment, or mappings of the model's bands to FILE#BAND."""
    mosaics: tuple[MosaicSettings, ...] = ()
    """Scenes that are made of many files."""
    model: Name
    """Directory of the model bundle."""
    model_sha256: Sha256 | None = None
    """sha256 of the only bundle that may run, as `geoseg models show` prints it."""
    trust_model_code: bool = False
    """Load model.pt2 and model.torchscript.pt, whose loaders can run code."""
    output: Output
    """Directory of the results, which every node sees, or s3://BUCKET/PREFIX."""
    overwrite: bool = False
    """Replace results of other settings, another model or another input; up-to-date results stay."""
    tiling: TilingSettings = TilingSettings()
    scene: SceneSettings = SceneSettings()
    run: RunSettings = RunSettings()
    inference: InferenceSettings = InferenceSettings()
    rasters: RasterSettings = RasterSettings()
    polygons: PolygonSettings = PolygonSettings()

    @model_validator(mode="wrap")
    @classmethod
    def _explain_errors(cls, data: Any, handler: ModelWrapValidatorHandler["Settings"]) -> "Settings":
        """Turn pydantic's errors into a `SettingsError`, also for settings that are built in Python."""
        if isinstance(data, Mapping) and data.get("mosaics"):
            data = {"scenes": (), **data}
        try:
            settings = handler(data)
        except ValidationError as error:
            raise SettingsError(explain(error, Settings.model_json_schema())) from error
        if not settings.scenes and not settings.mosaics:
            raise SettingsError("Setting scenes=[] is not allowed: it must be a list of files, or mosaics are needed.")
        return settings


def load_settings(
    file: str | Path | None = None,
    assignments: Iterable[str] = (),
    flags: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """Merge all sources and validate the result.

    Args:
        file: YAML file.
        assignments: ``a.b=c`` as given to ``--set``; the value is read as YAML.
        flags: Values of dedicated flags, by dotted key; None values are skipped.
        environment: Environment variables; default: those of the process.

    Raises:
        SettingsError: If a source cannot be read, a key is unknown or a value is not allowed.
    """
    origin = f" (from {file}, {ENVIRONMENT_PREFIX}* and the command line)" if file else ""
    merged = merge_sources(file, assignments, flags or {}, os.environ if environment is None else environment)
    try:
        return Settings.model_validate(merged)
    except SettingsError as error:
        raise SettingsError(f"{error}{origin}") from error


def merge_sources(
    file: str | Path | None, assignments: Iterable[str], flags: Mapping[str, Any], environment: Mapping[str, str]
) -> dict[str, Any]:
    """Merge the sources of settings, later over earlier ones; nothing is validated yet.

    Raises:
        SettingsError: If a source cannot be read.
    """
    merged: dict[str, Any] = _read_yaml(Path(file)) if file is not None else {}
    for key, value in _sources(assignments, flags, environment):
        _assign(merged, key.split("."), value, key)
    return merged


def _sources(
    assignments: Iterable[str], flags: Mapping[str, Any], environment: Mapping[str, str]
) -> Iterator[tuple[str, Any]]:
    """Dotted keys and values, lowest priority first."""
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
    except ValueError as error:  # includes UnicodeDecodeError
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
            f"{source}={shown(text)} is not a valid YAML value: {error}. Correct it; quote a text that is not YAML."
        ) from error


def _assign(target: dict[str, Any], keys: list[str], value: Any, name: str) -> None:
    for key in keys[:-1]:
        target = target.setdefault(key, {})
        if not isinstance(target, dict):
            raise SettingsError(f"{shown(name)} cannot be set: {key} is a value, not a section. Correct its name.")
    target[keys[-1]] = value
