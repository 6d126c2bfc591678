"""Run `geoseg segment` in a separate process, as users do."""

import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from geoseg.demo.command import BUNDLE
from tests.benchmarks.scenes import TILE_PX, landscape


def segment_command(scene: Path, bundle: Path, output: Path, settings: Mapping[str, Any]) -> list[str]:
    """The command; settings by their dotted keys."""
    command = [str(Path(sys.executable).with_name("geoseg")), "segment", str(scene)]
    command += ["--model", str(bundle), "--output", str(output)]
    for key, value in settings.items():
        command += ["--set", f"{key}={value}"]
    return command


def read_report(output: Path) -> dict[str, Any]:
    """The report of the only run that wrote there."""
    (file,) = output.glob("runs/*/report.json")
    report: dict[str, Any] = json.loads(file.read_text())
    return report


def window_of(report: dict[str, Any]) -> tuple[float, float]:
    """From the first block to the last commit, in seconds since 1970."""
    started = datetime.fromisoformat(report["started_at"]).timestamp()
    return started, started + report["seconds"]


def warm_up(folder: Path) -> None:
    """Let the first run after an installation, which compiles the loops of the polygons, be none that is measured.

    Args:
        folder: That of the benchmark; one of those that are run together does it for all.
    """
    output = folder.parent / "warm-up"
    if not output.exists():
        command = segment_command(landscape(folder, TILE_PX), BUNDLE, output, {"run.address": "inline"})
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
