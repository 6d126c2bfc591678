"""The settings of `geoseg train`: one YAML file, checked before any work."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from geoseg.config import SceneSettings, merge_sources
from geoseg.errors import SettingsError
from geoseg.explain import explain
from geoseg.setting_types import NO_BOOL, Auto, Count, Finite, Name, Text, Whole

Share = Annotated[Finite, Field(ge=0, le=1), NO_BOOL]
Positive = Annotated[Finite, Field(gt=0, le=1e6), NO_BOOL]
NotNegative = Annotated[Finite, Field(ge=0, le=1e6), NO_BOOL]
Loss = Literal["cross-entropy", "dice", "focal", "lovasz", "boundary"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ClassSettings(_Section):
    """One class of the new model."""

    name: Annotated[Text, Field(min_length=1)]
    """Name of the class."""
    labels: tuple[int | Text, ...] = ()
    """Numbers or names in the labels that stand for it; none: its own name, and its place from 0."""
    color: Annotated[Text, Field(pattern="^#[0-9A-Fa-f]{6}$")] | None = None
    """Colour such as #1E6B2E; none: a colour of its own."""


class NetworkSettings(_Section):
    """The network."""

    architecture: Name = "unet"
    """Name in `geoseg models list`."""
    arguments: dict[Text, Any] = {}
    """Arguments of the architecture, such as encoder_name or width; bands and classes are filled in."""
    start: Name | None = None
    """Bundle or file of weights (.safetensors) to start from; layers of another shape start anew."""
    frozen_epochs: Whole = 0
    """Epochs at the beginning in which the encoder is not changed."""


class SplitSettings(_Section):
    """Which ground is for training, for validation and for the test."""

    cell_px: Annotated[Count, Field(le=1 << 20)] = 512
    """Side of the cells of ground that are drawn, in pixels of the first scene."""
    guard_px: Annotated[Whole, Field(le=1 << 16)] = 32
    """Training labels nearer than this to ground of another split are not used."""
    validation_share: Share = 0.15
    """Share of the cells for validation."""
    test_share: Share = 0.15
    """Share of the cells for the test."""
    validation: tuple[Text, ...] = ()
    """Scenes for validation, instead of drawn cells."""
    test: tuple[Text, ...] = ()
    """Scenes for the test, instead of drawn cells."""


class DataSettings(_Section):
    """How windows are drawn."""

    patch_px: Annotated[Count, Field(le=65_536)] = 256
    """Side of a window."""
    balance: Share = 0.5
    """0 draws windows by the area of the classes, 1 all classes equally often."""
    max_sites: Annotated[Count, Field(le=10_000_000)] = 10_000
    """Most places whose labels are read before the first step; they are spread over all scenes."""
    max_validation_windows: Annotated[Count, Field(le=1_000_000)] = 400
    """Most windows of a validation."""
    edge_ignore_px: Annotated[Whole, Field(le=64)] = 0
    """Label pixels this near to another class are not used: edges of labels are seldom exact."""


class AugmentSettings(_Section):
    """Random changes of the training windows, made on the device."""

    flips: bool = True
    """Mirror, and turn by quarters."""
    zoom: Annotated[Finite, Field(ge=0, lt=1), NO_BOOL] = 0.25
    """Largest change of size: 0.25 is 0.75 to 1.25."""
    rotation_deg: Annotated[Finite, Field(ge=0, le=180), NO_BOOL] = 0.0
    """Largest rotation."""
    brightness: NotNegative = 0.2
    """Largest shift of all bands, in standard deviations."""
    contrast: Annotated[Finite, Field(ge=0, lt=1), NO_BOOL] = 0.2
    """Largest change of the contrast of a band."""
    noise: NotNegative = 0.0
    """Standard deviation of noise, in those of the bands."""
    band_dropout: Share = 0.0
    """Probability that a band of a window becomes its mean."""
    shadows: Share = 0.0
    """Probability that a soft shadow falls on a window."""


class LossSettings(_Section):
    """What is made small."""

    terms: dict[Loss, Positive] = {"cross-entropy": 1.0, "dice": 1.0}
    """Losses and their weights in the sum."""
    class_weights: Literal["none", "balanced"] | dict[Text, Positive] = "none"
    """Of the cross entropy; balanced: one over the square root of the area of a class."""
    label_smoothing: Annotated[Finite, Field(ge=0, lt=1), NO_BOOL] = 0.0
    """Of the cross entropy."""
    boundary_px: Annotated[Count, Field(le=64)] = 3
    """Width of the boundaries of the loss boundary, a cross entropy of their pixels alone."""


class OptimizerSettings(_Section):
    """How the weights are changed."""

    name: Literal["adamw", "sgd"] = "adamw"
    """AdamW, or SGD with Nesterov momentum 0.9."""
    learning_rate: Positive = 1e-3
    """The largest learning rate."""
    weight_decay: NotNegative = 1e-2
    """Weight decay."""
    schedule: Literal["one-cycle", "cosine", "constant"] = "one-cycle"
    """Course of the learning rate."""
    warmup_share: Share = 0.1
    """Share of all steps in which the learning rate rises."""
    clip_norm: Positive | None = 1.0
    """Largest norm of the gradient."""
    accumulate: Annotated[Count, Field(le=1024)] = 1
    """Batches of which the gradients are added before a step."""
    ema_decay: Annotated[Finite, Field(ge=0, lt=1), NO_BOOL] = 0.99
    """Decay of the moving average of the weights, which is validated and published; 0: none."""


class TrainingRunSettings(_Section):
    """Length and machines of a training."""

    epochs: Annotated[Count, Field(le=100_000)] = 20
    """A validation and a checkpoint end each epoch."""
    steps_per_epoch: Annotated[Count, Field(le=10_000_000)] = 100
    """Batches of an epoch."""
    batch_size: Annotated[Count, Field(le=65_536)] = 8
    """Windows of a batch, over all workers."""
    patience: Count | None = None
    """Epochs without a better mIoU after which it ends."""
    seed: Whole = 0
    """Seed of weights, split, windows and changes."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: cuda if there is one."""
    precision: Literal["fp32", "bf16"] | Auto = "auto"
    """auto: bf16 where the hardware has it."""
    threads: Annotated[Count, Field(le=256)] | Auto = "auto"
    """CPU threads of the network; auto: all cores of a worker."""
    readers: Annotated[Count, Field(le=256)] = 2
    """Threads that read windows ahead."""
    address: Name = "inline"
    """inline: this process; local, auto or a Ray address: Ray Train."""
    workers: Annotated[Count, Field(le=10_000)] = 1
    """Workers of Ray Train."""


class TrainSettings(_Section):
    """All settings of a training."""

    scenes: Annotated[tuple[Text, ...], Field(min_length=1)]
    """Scenes: files, folders or patterns such as scenes/*.tif."""
    labels: Annotated[tuple[Text, ...], Field(min_length=1)]
    """Label rasters or files of label polygons; placed by their CRS, without one in the order of the scenes."""
    classes: Annotated[tuple[ClassSettings, ...], Field(min_length=1, max_length=255)]
    """The classes of the new model, in the order of their ids."""
    output: Name
    """Folder of the bundle, the report and the checkpoint."""
    bands: tuple[Text, ...] = ()
    """Names of the bands; none: those of the first scene."""
    class_column: Text | None = None
    """Column of label polygons; none: class_name."""
    ignore: tuple[int | Text, ...] = ()
    """Values of the labels that are not used."""
    outside: Text = "ignore"
    """Class of the ground outside all label polygons, or ignore."""
    name: Text | None = None
    """Name of the model; none: that of the folder."""
    license: Text | None = None
    """Licence of the weights, written into the bundle."""
    pixel_m: Positive | None = None
    """Metres of a pixel, for the bundle; none: of the first scene, if its CRS is in metres."""
    overwrite: bool = False
    """Replace a training with other settings."""
    trust_model_code: bool = False
    """As of `geoseg segment`."""
    scene: SceneSettings = SceneSettings()
    network: NetworkSettings = NetworkSettings()
    split: SplitSettings = SplitSettings()
    data: DataSettings = DataSettings()
    augment: AugmentSettings = AugmentSettings()
    loss: LossSettings = LossSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    run: TrainingRunSettings = TrainingRunSettings()

    @model_validator(mode="after")
    def _is_consistent(self) -> "TrainSettings":
        names = [entry.name for entry in self.classes]
        if len({*names}) < len(names):
            raise SettingsError(f"classes: {', '.join(names)} name one class twice. Give each a name of its own.")
        if self.outside not in (*names, "ignore"):
            raise SettingsError(f"outside={self.outside!r} is none of {', '.join(names)}, ignore.")
        if self.split.validation_share + self.split.test_share >= 1:
            raise SettingsError(
                f"split: validation_share={self.split.validation_share} and test_share={self.split.test_share} leave "
                "nothing for training. Their sum must be below 1."
            )
        if self.run.batch_size % self.run.workers:
            raise SettingsError(
                f"run.batch_size={self.run.batch_size} is not a multiple of run.workers={self.run.workers}, so the "
                "workers would have different batches."
            )
        weights = self.loss.class_weights
        if isinstance(weights, dict) and (strange := [name for name in weights if name not in names]):
            raise SettingsError(f"loss.class_weights names {strange[0]!r}, which is none of {', '.join(names)}.")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes in the order of their ids."""
        return tuple(entry.name for entry in self.classes)


def load_train_settings(
    file: str | Path | None, assignments: Iterable[str] = (), flags: dict[str, Any] | None = None
) -> TrainSettings:
    """Read the settings of a training.

    Args:
        file: YAML file.
        assignments: ``a.b=c`` as given to ``--set``.
        flags: Values of dedicated flags, by dotted key; None values are skipped.

    Raises:
        SettingsError: If a source cannot be read, a key is unknown or a value is not allowed.
    """
    merged = merge_sources(file, assignments, flags or {}, {})
    try:
        return TrainSettings.model_validate(merged)
    except ValidationError as error:
        raise SettingsError(explain(error, TrainSettings.model_json_schema())) from error
