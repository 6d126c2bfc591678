"""The report of a run: report.json and config.yaml."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from geoseg.engine.scene_state import Outcome
from geoseg.errors import ExitCode, GeosegError
from geoseg.plan.run_plan import Plan
from geoseg.plan.software import software
from geoseg.redact import redact_values
from geoseg.run.totals import Rates, Totals
from geoseg.store.manifest import polygons_prefix, rasters_prefix
from geoseg.store.storages.opening import open_storage


@dataclass(frozen=True, slots=True)
class Execution:
    """Where and how the units of a run were computed; the defaults stand for a run without work."""

    executor: str = "none"
    device: str = "none"
    workers: int = 0
    batch_size: int = 0
    """Patches of a forward pass."""
    precision: str = "none"
    """What convolutions computed in: fp32 or bf16."""
    hardware: str = "none"
    """Of the predictors."""


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a run; the content of ``report.json``."""

    run_id: str
    url: str | None
    """Path or URL of the report; None if it could not be written."""
    exit_code: int
    """0 all scenes done, 3 some failed; 1, 130 or 143 if the run was stopped before."""
    started_at: str
    """ISO 8601 with milliseconds, UTC, of the first block."""
    seconds: float
    """From the first block to the last commit; without start and end of the cluster."""
    executor: str
    device: str
    workers: int
    batch_size: int
    """Patches of a forward pass."""
    precision: str
    """What convolutions computed in: fp32 or bf16."""
    hardware: str
    """Hardware of the predictors."""
    model: dict[str, str]
    software: dict[str, str]
    scenes: list[dict[str, Any]]
    """In the order of the settings: id, path, status (done, up to date, failed, unfinished), counts or error, and
    ``reused``: rasters that were taken over from the results before."""
    resumed_blocks: int
    """Blocks that an earlier run had finished."""
    retries: int
    """Units of work that were repeated after a loss."""
    stages: dict[str, dict[str, float]]
    """Units, seconds and CPU seconds (both summed over processes) and bytes of each stage."""
    patches: int
    """Patches that the model predicted."""
    valid_pixels: int
    forward_s: float
    """Seconds in the network, summed over workers."""
    px_per_s: float
    """This and the next three are those of `geoseg.run.totals.Rates`."""
    km2_per_h: float | None
    device_share: float | None
    cost_per_1000_km2: float | None
    warnings: list[str]

    @property
    def rates(self) -> Rates:
        """How fast the run was."""
        return Rates(self.px_per_s, self.km2_per_h, self.device_share, self.cost_per_1000_km2)

    @property
    def summary(self) -> str:
        """Number of scenes by outcome, as a sentence."""
        by_outcome = {"published": self.done, "up to date": self.up_to_date, "failed": self.failed}
        by_outcome["unfinished"] = [scene for scene in self.scenes if scene["status"] == "unfinished"]
        by_outcome["outside the area of interest"] = [scene for scene in self.scenes if scene["status"] == "skipped"]
        counts = ", ".join(f"{len(scenes)} {outcome}" for outcome, scenes in by_outcome.items() if scenes)
        return f"{len(self.scenes)} {'scene' if len(self.scenes) == 1 else 'scenes'}: {counts}"

    @property
    def done(self) -> list[dict[str, Any]]:
        """The scenes that were published."""
        return [scene for scene in self.scenes if scene["status"] == "done"]

    @property
    def up_to_date(self) -> list[dict[str, Any]]:
        """The scenes that an earlier run had published."""
        return [scene for scene in self.scenes if scene["status"] == "up to date"]

    @property
    def failed(self) -> list[dict[str, Any]]:
        """The scenes that failed."""
        return [scene for scene in self.scenes if scene["status"] == "failed"]


def make_report(
    plan: Plan,
    outcomes: Sequence[Outcome],
    totals: Totals,
    *,
    started_at: datetime,
    execution: Execution = Execution(),
    warnings: Sequence[str] = (),
    stopped: GeosegError | None = None,
) -> Report:
    """Build the report of a run, also of one that was stopped early."""
    order = {path: index for index, path in enumerate(plan.order)}
    scenes = [_failed(path, Path(path).stem, message) for path, message in plan.failed]
    scenes += [{"scene_id": scene_id, "path": path, "status": "skipped"} for path, scene_id in plan.skipped]
    scenes += [_published(plan, path, scene_id, "up to date", results) for path, scene_id, results in plan.up_to_date]
    scenes += [_scene(plan, outcome) for outcome in outcomes]
    known = {scene["scene_id"] for scene in scenes}
    reason = str(stopped) if stopped else "the run ended without a word on it: this is a bug, please report it"
    missing = [scene.scene for scene in plan.scenes if scene.scene.scene_id not in known]
    scenes += [_failed(scene.path, scene.scene_id, reason, "unfinished" if stopped else "failed") for scene in missing]
    scenes.sort(key=lambda scene: order.get(scene["path"], len(order)))
    failures = ExitCode.SCENES_FAILED if any(scene["status"] == "failed" for scene in scenes) else ExitCode.OK
    rates = totals.rates([scene["scene_id"] for scene in scenes if scene["status"] in {"failed", "unfinished"}])
    return Report(
        run_id=plan.run_id,
        url=f"{open_storage(plan.output).url}/{_folder(plan.run_id)}/report.json",
        exit_code=int(stopped.exit_code if stopped else failures),
        started_at=started_at.astimezone(UTC).isoformat(timespec="milliseconds"),
        seconds=round(totals.seconds, 3),
        **asdict(execution),
        model=dict(plan.model),
        software=software(),
        scenes=scenes,
        resumed_blocks=totals.resumed,
        retries=sum(outcome.retries for outcome in outcomes),
        stages={name: _rounded(asdict(stage), 3) for name, stage in sorted(totals.stages.items())},
        patches=totals.patches,
        valid_pixels=totals.valid_pixels,
        forward_s=round(totals.forward_s, 3),
        **_rounded(asdict(rates), 6),
        warnings=[*plan.warnings, *warnings, *sorted(totals.notes)],
    )


def write_report(report: Report, plan: Plan) -> Report:
    """Write ``runs/<run_id>/report.json`` and ``config.yaml`` under the output; returns the report.

    If it cannot be written, for example because the disk is full, the returned report has a warning and no URL.
    """
    storage, folder = open_storage(plan.output), _folder(report.run_id)
    settings = redact_values(plan.config)
    text = json.dumps(redact_values(asdict(report)), indent=2, ensure_ascii=False) + "\n"
    try:
        storage.put(f"{folder}/config.yaml", yaml.safe_dump(settings, sort_keys=False, allow_unicode=True).encode())
        storage.put(f"{folder}/report.json", text.encode())
    except OSError as error:
        unsaved = f"The report could not be written to {storage.url}: {error.strerror or error}."
        return replace(report, url=None, warnings=[*report.warnings, unsaved])
    return report


def _folder(run_id: str) -> str:
    return f"runs/{run_id}"


def _scene(plan: Plan, outcome: Outcome) -> dict[str, Any]:
    if outcome.results is None:
        return _failed(outcome.path, outcome.scene_id, outcome.error or "")
    reused = next((scene.reused for scene in plan.scenes if scene.scene.scene_id == outcome.scene_id), None)
    counts: dict[str, Any] = {"reused": sorted(reused.rasters)} if reused else {}
    counts |= {"blocks": outcome.blocks, "resumed_blocks": outcome.resumed, "retries": outcome.retries}
    return {**_published(plan, outcome.path, outcome.scene_id, "done", outcome.results), **counts}


def _published(plan: Plan, path: str, scene_id: str, status: str, results: Mapping[str, Any]) -> dict[str, Any]:
    output = open_storage(plan.output).url
    return {
        "scene_id": scene_id,
        "path": path,
        "status": status,
        "rasters": f"{output}/{rasters_prefix(scene_id)}",
        "polygons_path": f"{output}/{polygons_prefix(scene_id)}" if "crs" in results else None,
        **results,
    }


def _failed(path: str, scene_id: str, message: str, status: str = "failed") -> dict[str, Any]:
    return {"scene_id": scene_id, "path": path, "status": status, "error": message}


def _rounded(numbers: Mapping[str, float | None], digits: int) -> dict[str, Any]:
    return {key: None if number is None else round(number, digits) for key, number in numbers.items()}
