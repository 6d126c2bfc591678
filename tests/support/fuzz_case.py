"""One run of the fuzzer: its inputs, and checks of its outcome."""

import math
import re
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import pyarrow.parquet as pq
import rasterio

from geoseg.config import load_settings
from geoseg.errors import GeosegError
from geoseg.raster.source.env import without_georeference_warning
from geoseg.run.segment import segment

LONGEST_MESSAGE = 2000
NAMES_A_SETTING = re.compile(
    r"config\.yaml|--set|[Ss]etting |\b(scene|run|tiling|inference|rasters|polygons)\.\w+|\b(model|output)\b"
)
REMEDY = re.compile(
    r"\b(Fetch|fetch|Use|use|Give|Set|Convert|convert|Restore|[Bb]uild|Name|Add|Rectify|Write|Check|Correct|Expand|Start|Copy|"
    r"Export|Rename|See|Put|Mask|Fix|such as|Did you mean|is not valid|is not allowed|does not describe)\b"
)


@dataclass(frozen=True, slots=True)
class Case:
    """One run to try."""

    seed: str
    base: str
    target: str
    """The file that is damaged."""
    kind: str
    """How."""
    scene: str
    files: dict[str, bytes]
    """All files of the run by their path, the damaged one included."""
    assignments: tuple[str, ...] = ()
    """What ``--set`` is given."""
    unknown: tuple[str, ...] = ()
    """Unknown keys of settings, which must be reported."""
    oracle: Callable[[Path], Iterator[str]] | None = None
    """What a published result must agree with: problems of the run in a folder."""


@dataclass(slots=True)
class Result:
    """Outcome of a case."""

    seed: str
    label: str
    """Base, target and kind of damage."""
    kind: str
    outcome: str
    """``published``, ``scene refused``, ``settings refused``, ``crash`` or ``hang``."""
    message: str = ""
    seconds: float = 0.0
    peak_mib: int = 0
    problems: list[str] = field(default_factory=list)


def run_case(case: Case, folder: Path) -> Result:
    """Run a case in an empty folder and look at what it left and said."""
    for name, data in case.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    result = Result(case.seed, f"{case.base} / {case.target} / {case.kind}", case.kind, "crash")
    output, started = folder / "out", perf_counter()
    flags = {"scenes": [str(folder / case.scene)], "model": str(folder / "bundle"), "output": str(output)}
    try:
        report = segment(load_settings(folder / "config.yaml", case.assignments, flags | {"run.address": "inline"}, {}))
    except GeosegError as error:
        result.outcome, result.message = "settings refused", str(error)
    except Exception:  # noqa: BLE001  whatever else comes out is what the fuzzer looks for
        result.message = traceback.format_exc()
        result.problems.append(f"traceback: {result.message}")
    else:
        result.outcome = "scene refused" if report.exit_code else "published"
        result.message = " ".join(scene.get("error", "") for scene in report.scenes)
    result.seconds = perf_counter() - started
    look: Callable[[Case, Path, str], Iterator[str]] = _published if result.outcome == "published" else _refused
    result.problems += look(case, folder, result.message)
    return result


def _published(case: Case, folder: Path, _: str) -> Iterator[str]:
    with without_georeference_warning, rasterio.open(folder / case.scene) as source:
        shape, pixel = source.shape, source.res
    rasters = sorted((folder / "out/rasters").rglob("*.tif"))
    if {"classes.tif"} == {path.name for path in rasters} or "classes.tif" not in {path.name for path in rasters}:
        yield f"published {rasters}"
    for path in rasters:
        with rasterio.open(path) as dataset:
            # Settings may give the class map another resolution than the scene's.
            scales = (own / new for own, new in zip(pixel[::-1], dataset.res[::-1], strict=True))
            expected = tuple(math.ceil(side * scale - 1e-6) for side, scale in zip(shape, scales, strict=True))
            if dataset.shape != expected:
                yield f"{path.name} has shape {dataset.shape}, not {expected} as the scene"
            dataset.read(1)
    for part in (folder / "out/polygons").rglob("*.parquet"):
        pq.read_table(part)
    if case.oracle is not None:
        yield from case.oracle(folder)
    if (folder / "out/.work").exists():
        yield ".work is left behind"
    if case.unknown:
        yield f"nothing was said of {case.unknown}"


def _refused(case: Case, folder: Path, message: str) -> Iterator[str]:
    if left := [path for place in ("rasters", "polygons", ".work") for path in (folder / "out" / place).rglob("*")]:
        yield f"partial output {left}"
    if (folder / "out/.work").exists():
        yield ".work is left behind"
    if case.target == "settings" and not NAMES_A_SETTING.search(message):
        yield "the message names no setting"
    if case.target not in ("config.yaml", "settings") and not any(str(folder / name) in message for name in case.files):
        yield "the message names no file"
    if re.search(r": (unexpected \w+|out of memory):", message):
        yield "nobody put it into words"
    if case.target.startswith("in/") and not (folder / "out/runs").exists():
        yield "one bad scene ends the whole run"
    if not REMEDY.search(message):
        yield "the message holds no remedy"
    if len(message) > LONGEST_MESSAGE:
        yield f"the message has {len(message)} characters"
