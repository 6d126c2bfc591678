"""The commands of training: parse arguments, call one function, print its result."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from geoseg.cli_models import TrustOption, out


def train_command(
    config: Annotated[Path, typer.Option(help="YAML file with the settings; see configs/train.yaml.")],
    output: Annotated[str | None, typer.Option(help="Folder for bundle and report.")] = None,
    assignments: Annotated[list[str] | None, typer.Option("--set", help="One setting, such as run.epochs=30.")] = None,
    address: Annotated[str | None, typer.Option(help="inline, local, auto or a Ray address.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a training with other settings.")] = False,
    trust_model_code: TrustOption = False,
) -> None:
    """Train a network on labelled scenes; publish a bundle. The same command resumes a training that died."""
    from geoseg.train.train import BUNDLE, train  # noqa: PLC0415  loads torch
    from geoseg.train_settings import load_train_settings  # noqa: PLC0415

    flags = {
        "output": output,
        "run.address": address,
        "overwrite": overwrite or None,
        "trust_model_code": trust_model_code or None,
    }
    settings = load_train_settings(config, assignments or (), flags)
    outcome = train(settings, out)
    scores = outcome.validation if outcome.test is None else outcome.test.metrics
    where = "validation" if outcome.test is None else "test"
    out.print(
        f"{where} ground: mIoU {scores.mean_iou:.3f}, accuracy {scores.pixel_accuracy:.3f}, kappa {scores.kappa:.3f}; "
        f"best epoch {outcome.best_epoch}, temperature {outcome.temperature:g}, {outcome.seconds:.0f} s"
    )
    out.print(f"bundle  {escape(str(Path(settings.output, BUNDLE)))}")
    out.print(f"report  {escape(str(Path(settings.output, 'report.json')))}, curves.png, examples.png, split.gpkg")
