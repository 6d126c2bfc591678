"""One run from settings to report: survey, executor, plan, pipeline."""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

from rich.console import Console
from rich.markup import escape

from geoseg.config import Settings
from geoseg.model.inference import Inference
from geoseg.model.trust import read_trusted_bundle
from geoseg.run.executor import Executor, InlineExecutor
from geoseg.run.pipeline import Order, Pipeline
from geoseg.run.plan import Plan, ScenePlan, Survey, make_plan, patch_px, survey
from geoseg.run.progress import Display
from geoseg.run.report import Report, make_report, write_report
from geoseg.run.stages import Cost
from geoseg.run.store import check_writable


def segment(settings: Settings, console: Console | None = None, order: Order = lambda blocks: blocks) -> Report:
    """Segment scenes and publish their class maps and polygons.

    Args:
        settings: What to do; see `geoseg.config.Settings`.
        console: Where progress is shown; default: nowhere.
        order: In which order the blocks of a scene start; tests shuffle it. Changes no result.

    Returns:
        The report, which also stands in ``<output>/runs/<run_id>/report.json``. Scenes that failed are in it.

    Raises:
        SettingsError: If the run cannot start as asked.
    """
    console = console or Console(quiet=True)
    bundle = read_trusted_bundle(settings.model, trust_code=settings.trust_model_code, sha256=settings.model_sha256)
    found = survey(settings, bundle)
    check_writable(Path(settings.output))
    for warning in found.warnings:
        console.print(f"[yellow]warning:[/yellow] {escape(warning)}", soft_wrap=True, highlight=False)
    if not found.scenes:
        plan = make_plan(found, "cpu", 1)
        return _finish(plan, make_report(plan, [], [], started_at=datetime.now(UTC)))
    if settings.run.address != "inline":
        console.print("starting Ray, or connecting to it ...", highlight=False)
    with closing(_open_executor(found)) as executor:
        plan = make_plan(found, executor.device, executor.workers)
        batch_size = executor.start(plan.bundle, _inference(plan, executor.device), plan.block_bytes)
        console.print(f"{executor.description}; workers on {executor.device}: {executor.workers}", highlight=False)
        started_at, started = datetime.now(UTC), perf_counter()
        costs: list[Cost] = []
        with Display(console, plan.block_count) as display:

            def watch(scene: ScenePlan, cost: Cost) -> None:
                costs.append(cost)
                display.update(scene, cost)

            outcomes = Pipeline(executor, watch, order).run(plan.scenes)
        report = make_report(
            plan,
            outcomes,
            costs,
            started_at=started_at,
            seconds=perf_counter() - started,
            executor=executor.description,
            device=executor.device,
            workers=executor.workers,
            batch_size=batch_size,
        )
    return _finish(plan, report)


def _open_executor(found: Survey) -> Executor:
    run = found.settings.run
    if run.address == "inline":
        return InlineExecutor(run)
    from geoseg.run.cluster import RayExecutor  # noqa: PLC0415  an inline run needs no ray

    files = [*(file for scene, _ in found.scenes for file in scene.files), str(found.bundle.artifact)]
    return RayExecutor(run, [str(Path(file).resolve()) for file in files], str(Path(found.settings.output).resolve()))


def _inference(plan: Plan, device: str) -> Inference:
    run = plan.settings.run
    batch_size = None if run.batch_size == "auto" else run.batch_size
    return Inference(device, patch_px(plan.settings, plan.bundle), batch_size, run.threads)


def _finish(plan: Plan, report: Report) -> Report:
    for scene in plan.scenes:
        scene.store.discard()  # what late units of failed scenes have left
        scene.store.prune()
    write_report(report, plan)
    return report
