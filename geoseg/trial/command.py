"""`geoseg models check --scene`: try a bundle on a scene, print what it gives and what looks wrong, draw it."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from geoseg.config import Settings, load_settings
from geoseg.errors import SceneError, SettingsError
from geoseg.model.bundle.bundle import Bundle
from geoseg.model.bundle.value_checks import warn_unscaled
from geoseg.model.predictor import Predictor
from geoseg.plan.survey import survey
from geoseg.run.summary import count
from geoseg.trial.findings import findings
from geoseg.trial.picture import draw_trial, write_picture
from geoseg.trial.trial import Trial, try_bundle

SUFFIX = ".png"


def check_on_scene(
    bundle: Bundle, predictor: Predictor, path: str, assignments: Sequence[str], picture: Path | None, console: Console
) -> None:
    """Run a bundle on some whole patches of a scene, and print and draw the result.

    Args:
        bundle: The bundle.
        predictor: Its network, with patches of the bundle's size.
        path: The scene.
        assignments: Settings of the scene, such as ``scene.bands=4,3,2``.
        picture: PNG to write; default: ``SCENE-check.png`` in the current folder.
        console: Where the result goes.

    Raises:
        SettingsError: If a setting is not one of the scene, or the picture cannot be written.
        SceneError: If the scene cannot be read, has not the bands, or no valid pixel.
    """
    settings = scene_settings(path, bundle, assignments)
    if picture is not None and picture.suffix.lower() != SUFFIX:
        raise SettingsError(f"--output {picture} is a PNG picture: give it a name that ends in {SUFFIX}.")
    surveyed = survey(settings, bundle)
    for _, reason in surveyed.failed:
        raise SceneError(reason)
    ((scene, selection),) = surveyed.scenes
    unscaled = warn_unscaled(bundle.name, bundle.file.scaling)  # is known without a scene
    warnings = [text for text in surveyed.warnings if text not in unscaled]
    trial = try_bundle(bundle, predictor, scene, selection)
    console.print(_table(trial, bundle))
    console.print(
        f"{trial.pixels.sum():,} pixels at {count(len(trial.shown), 'place')} of {escape(path)}, "
        f"mean confidence {trial.mean_confidence:.3f}"
    )
    found = findings(bundle, trial, selection.bands, activation_known=bool(predictor.task.warnings))
    for warning in (*warnings, *found):
        console.print(f"[yellow]warning:[/yellow] {escape(warning)}")
    target = picture or Path(f"{scene.scene_id}-check{SUFFIX}")
    title = f"{bundle.name} on {Path(path).name}: mean confidence {trial.mean_confidence:.2f}"
    try:
        write_picture(draw_trial(trial, bundle.legend, title), target)
    except OSError as error:
        raise SettingsError(f"{target} cannot be written: {error.strerror or error}. Give another --output.") from error
    console.print(f"picture: {escape(str(target))}")


def scene_settings(path: str, bundle: Bundle, assignments: Sequence[str]) -> Settings:
    """Settings of a run of this scene, of which only those of the scene are used.

    Raises:
        SettingsError: If another one is given, or a value is not allowed.
    """
    for assignment in assignments:
        if not assignment.strip().startswith("scene."):
            raise SettingsError(
                f"--set {assignment} is not a setting of the scene. models check takes those of configs/README.md that "
                "begin with scene., such as scene.bands=4,3,2; all others belong to geoseg segment."
            )
    needed = {"scenes": [path], "model": str(bundle.path), "output": "."}
    return load_settings(None, assignments, needed)


def _table(trial: Trial, bundle: Bundle) -> Table:
    table = Table("", "class", "share", "mean confidence", box=None)
    for entry, pixels, confidence in zip(bundle.legend.classes, trial.pixels, trial.confidence, strict=True):
        colour = Text("   ", style=f"on rgb({','.join(map(str, entry.color))})")
        mean = f"{confidence / pixels:.3f}" if pixels else "-"
        table.add_row(colour, escape(entry.name), f"{pixels / trial.pixels.sum():.1%}", mean)
    return table
