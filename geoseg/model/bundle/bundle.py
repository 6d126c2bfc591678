"""A bundle: the directory that holds a model and its description.

``model.json`` states the input and output with the property names of the STAC Machine Learning Model extension
(https://github.com/stac-extensions/mlm) and, under ``geoseg:``, what the extension does not define. The directory
holds one artifact: ``weights.safetensors`` for an architecture of `geoseg.model.zoo.architectures`, or ``model.onnx``
(with or without data files for its weights), which cannot run code when loaded; or ``model.pt2`` or
``model.torchscript.pt``, which can.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from geoseg.errors import SettingsError
from geoseg.grid.legend import Legend, LegendClass
from geoseg.model.bundle.files import MODEL_FILE, digest, is_file, read_files, read_json
from geoseg.model.bundle.gaps import require_complete
from geoseg.model.bundle.properties import REFERENCE, check_properties, of_item
from geoseg.model.bundle.scaling import Number, Step
from geoseg.model.bundle.value_scaling import take_value_scaling

CODE_BEARING = ("model.pt2", "model.torchscript.pt")
"""Artifacts whose loaders can run code."""
ANY_SIZE = -1
DEFAULT_PATCH_PX = 256
MAX_SIZE = 8192
"""Maximum side of a patch in pixels, number of bands, overlap and size multiple."""
MAX_PROBLEMS = 5
"""Number of problems of a ``model.json`` shown in one message."""


def _within_size(value: int) -> int:
    if value == 0 or not ANY_SIZE <= value <= MAX_SIZE:
        raise ValueError(f"{value} is not a size: 1 to {MAX_SIZE}, or -1 for any")
    return value


Size = Annotated[int, AfterValidator(_within_size)]
Dimension = Literal["batch", "bands", "channel", "classes", "height", "width"]


class _Described(BaseModel):
    """Additional descriptive properties are allowed; `check_properties` refuses those that would change results."""

    model_config = ConfigDict(frozen=True, extra="allow")


class Tensor4(_Described):
    """Shape of a model's input or output; -1 means any size."""

    shape: tuple[Size, Size, Size, Size]
    dim_order: tuple[Dimension, Dimension, Dimension, Dimension]

    @property
    def channels_last(self) -> bool:
        """True for NHWC, False for NCHW."""
        return self.dim_order[1] == "height"

    @property
    def channels(self) -> int:
        """Number of bands or classes, or -1."""
        return self.shape[3 if self.channels_last else 1]

    @property
    def height(self) -> int:
        """Rows, or -1 for any."""
        return self.shape[1 if self.channels_last else 2]

    @model_validator(mode="after")
    def _known_order(self) -> "Tensor4":
        order = tuple("channel" if d in ("bands", "classes") else d for d in self.dim_order)
        if order not in (("batch", "channel", "height", "width"), ("batch", "height", "width", "channel")):
            raise ValueError(f"dim_order {list(self.dim_order)} is neither NCHW nor NHWC")
        width = self.shape[2 if self.channels_last else 3]
        if width != self.height:
            raise ValueError(f"shape {list(self.shape)} is {self.height} x {width}, but patches and maps are square")
        return self


class _Band(_Described):
    name: str


class _Input(_Described):
    bands: tuple[str | _Band, ...] = Field(min_length=1)
    input: Tensor4


class _ClassificationClass(_Described):
    value: int
    name: str
    color_hint: str = Field(pattern=r"^[0-9A-Fa-f]{6}$")


class _Output(_Described):
    name: str | None = None
    result: Tensor4
    classes: tuple[_ClassificationClass, ...] = Field(alias="classification:classes", min_length=1)


class ModelFile(_Described):
    """The content of ``model.json``."""

    name: str = Field(alias="mlm:name", min_length=1)
    architecture: str = Field(alias="mlm:architecture")
    inputs: tuple[_Input] = Field(alias="mlm:input")
    outputs: tuple[_Output] = Field(alias="mlm:output")
    artifact: Literal["weights.safetensors", "model.onnx", "model.pt2", "model.torchscript.pt"] = Field(
        alias="geoseg:artifact"
    )
    arguments: dict[str, Any] = Field(alias="geoseg:arguments", default_factory=dict)
    scaling: tuple[Step, ...] = Field(alias="geoseg:scaling", default=())
    nodata_fill: Number = Field(alias="geoseg:nodata_fill", default=0.0)
    overlap_px: int | None = Field(alias="geoseg:overlap_px", default=None, ge=0, le=MAX_SIZE)
    size_multiple: int = Field(alias="geoseg:size_multiple", default=1, ge=1, le=MAX_SIZE)
    activation: Literal["softmax", "sigmoid", "none"] = Field(alias="geoseg:activation")
    pixel_m: float | None = Field(
        validation_alias=AliasChoices("raster:spatial_resolution", "gsd"), default=None, gt=0, allow_inf_nan=False
    )
    """Side of the pixels that the model was trained on, in metres, if the bundle states it."""

    @model_validator(mode="after")
    def _consistent(self) -> "ModelFile":
        if self.inputs[0].input.channels != len(self.inputs[0].bands):
            raise ValueError(f"{len(self.inputs[0].bands)} bands, but input shape {self.inputs[0].input.shape}")
        channels, classes = self.outputs[0].result.channels, len(self.outputs[0].classes)
        # One channel is the probability of the second of two classes.
        if channels not in (ANY_SIZE, classes) and not (channels == 1 and classes == 2):
            shape = list(self.outputs[0].result.shape)
            raise ValueError(f"{classes} classification:classes, but output shape {shape} has {channels} channels")
        for step in self.scaling:
            step.check(len(self.inputs[0].bands))
        return self


class Bundle(BaseModel):
    """A bundle that was read and checked. It is sent to the actors, which load the artifact."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path
    """The directory."""
    file: ModelFile
    """Content of ``model.json``."""
    legend: Legend
    """Classes of the output channels."""
    sha256: str
    """Digest of ``model.json`` and all loaded files; identifies the model in fingerprints and reports."""
    weights_sha256: str
    """Digest of the loaded files without ``model.json``."""
    trusts_code: bool = False
    """Permission to load an artifact that can run code; checked again in the actors."""

    @property
    def name(self) -> str:
        """The model's own name."""
        return self.file.name

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands, in the order of the model's input."""
        return tuple(band if isinstance(band, str) else band.name for band in self.file.inputs[0].bands)

    @property
    def patch_px(self) -> int:
        """Side of a patch."""
        height = self.file.inputs[0].input.height
        multiple = self.file.size_multiple
        return height if height != ANY_SIZE else max(1, DEFAULT_PATCH_PX // multiple) * multiple

    @property
    def overlap_px(self) -> int:
        """Overlap that the bundle states, or a quarter of a patch."""
        return self.patch_px // 4 if self.file.overlap_px is None else self.file.overlap_px

    @property
    def artifact(self) -> Path:
        """The file with the weights."""
        return self.path / self.file.artifact


def read_bundle(path: str | Path) -> Bundle:
    """Read and check a bundle without loading its weights.

    Raises:
        SettingsError: If a file is missing or cannot be read, or ``model.json`` is not valid.
    """
    path = Path(path)
    source = path / MODEL_FILE
    if not is_file(source):
        raise SettingsError(
            f"{path} is not a model bundle: it has no {MODEL_FILE}. Give the directory that holds it "
            f"and the model's artifact; {REFERENCE} explains how to make one."
        )
    try:
        document = of_item(read_json(source))
        require_complete(document)
        check_properties(document)
        file = ModelFile.model_validate(take_value_scaling(document))
        legend = Legend(
            tuple(LegendClass(entry.value, entry.name, _rgb(entry.color_hint)) for entry in file.outputs[0].classes)
        )
    except ValidationError as error:
        problems = "; ".join(map(_explain, error.errors()[:MAX_PROBLEMS]))
        raise SettingsError(
            f"{source} does not describe a model geoseg can use: {problems}. {REFERENCE} explains every key."
        ) from error
    except ValueError as error:
        raise SettingsError(f"{source} does not describe a model geoseg can use: {error}") from error
    if not is_file(path / file.artifact):
        raise SettingsError(f"{source} names the artifact {file.artifact}, which is missing. Copy the whole bundle.")
    files = read_files(path, file.artifact)
    weights = digest({name: content for name, content in files.items() if name != MODEL_FILE})
    return Bundle(path=path.resolve(), file=file, legend=legend, sha256=digest(files), weights_sha256=weights)


def _explain(problem: ErrorDetails) -> str:
    """One problem with its position in the file."""
    place = ".".join(map(str, problem["loc"]))
    message = problem["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message


def _rgb(color_hint: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(color_hint)
    return red, green, blue
