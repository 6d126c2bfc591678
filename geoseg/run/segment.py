"""One run from settings to report: survey, lock, executor, plan, scheduler."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from geoseg.config import Settings
from geoseg.engine.executor import Executor
from geoseg.engine.inline import InlineExecutor
from geoseg.engine.scheduler import Order, Scheduler
from geoseg.engine.threads import ThreadsExecutor
from geoseg.errors import GeosegError, LockLostError, OutputError
from geoseg.model.bundle.trust import read_trusted_bundle
from geoseg.model.hardware import find_hardware
from geoseg.model.inference import Started
from geoseg.plan.run_plan import check_device_memory, make_plan
from geoseg.plan.scene_plan import ScenePlan
from geoseg.plan.survey import Survey, check_output, survey
from geoseg.redact import redact
from geoseg.run.progress import Display
from geoseg.run.report import Execution, Report, make_report, write_report
from geoseg.run.totals import Totals
from geoseg.signals import Stop, stop_on_signals
from geoseg.stages.metrics import UnitMetrics
from geoseg.store.lock import Lock, new_run_id, require_lock, taken_over
from geoseg.store.scene_store import WORK
from geoseg.store.scratch_space import check_room
from geoseg.store.storages.opening import open_storage


def segment(settings: Settings, console: Console | None = None, order: Order = iter) -> Report:
    """Segment scenes and publish their class maps and polygons.

    A run that was cut short is resumed by calling this again: what is done is not done twice.

    Args:
        settings: What to do; see `geoseg.config.Settings`.
        console: Where progress is shown; default: nowhere.
        order: In which order the blocks of a scene start; tests shuffle it. Changes no result.

    Returns:
        The report, which also stands in ``<output>/runs/<run_id>/report.json``. Scenes that failed are in it.

    Raises:
        SettingsError: If the run cannot start as asked, or another run works on the output.
        Interrupted: If the process was told to stop by SIGINT or SIGTERM.
        ClusterError: If nothing is left that could do the work.
        LockLostError: If another run has taken over the output.
        OutputError: If the output is out of reach.
    """
    console = console or Console(quiet=True)
    bundle = read_trusted_bundle(settings.model, trust_code=settings.trust_model_code, sha256=settings.model_sha256)
    found = survey(settings, bundle)
    storage = open_storage(settings.output)
    storage.check_writable()
    try:
        run_id = new_run_id()
        with stop_on_signals() as stop, Lock(storage, run_id) as lock:
            return _run(check_output(found), run_id, lock.token, console, _checker(stop, lock, settings.output), order)
    except OSError as error:
        raise OutputError(
            f"The output {storage.url} cannot be read or written: {error.strerror or error}"
            f"{f' ({error.filename})' if error.filename else ''}. What is done is kept: fix it, then run the same "
            "command again."
        ) from error


def _run(
    found: Survey, run_id: str, lock_token: str, console: Console, check: Callable[[], None], order: Order
) -> Report:
    _warn(console, found.warnings)
    storage, started_at = open_storage(found.settings.output), datetime.now(UTC)
    if not found.scenes:
        plan = make_plan(found, run_id, find_hardware("cpu"), 1)
        return write_report(make_report(plan, [], Totals(0), started_at=started_at), plan)
    if found.settings.run.address != "inline":
        console.print("starting Ray, or connecting to it ...", highlight=False)
    stopped: GeosegError | None = None
    with ExitStack() as stack:
        executor = stack.enter_context(closing(_open_executor(found)))
        plan = make_plan(found, run_id, executor.hardware, executor.workers, lock_token)
        _warn(console, plan.warnings[len(found.warnings) :])
        for folder in plan.stale:
            require_lock(storage, lock_token)
            storage.delete_all(folder)
        predictors = Started(0)
        if plan.scenes:
            pixels = [(scene.scene.path, scene.tiling.lattice.scene.pixels) for scene in plan.scenes]
            check_room(storage.url, pixels, executor.rooms)
            predictors = executor.start(plan.bundle, plan.inference, plan.block_bytes)
            check_device_memory(plan, executor.hardware, predictors)
            _warn(console, predictors.warnings)
            console.print(f"{executor.description}; workers on {executor.device}: {executor.workers}", highlight=False)
        started_at = datetime.now(UTC)
        totals = Totals(executor.workers, found.settings.run.price_per_hour)
        display = stack.enter_context(Display(console, plan.block_count, totals))

        def watch(scene: ScenePlan, metrics: UnitMetrics) -> None:
            totals.add(scene, metrics)
            display.update(scene)

        scheduler = Scheduler(executor, watch, check, order)
        try:
            scheduler.run(plan.scenes)
        except LockLostError:
            raise  # another run writes there now
        except GeosegError as error:
            stopped = error
    report = make_report(
        plan,
        scheduler.outcomes,
        totals,
        started_at=started_at,
        execution=Execution(
            executor=executor.description,
            device=executor.device,
            workers=executor.workers,
            batch_size=predictors.batch_size,
            precision=plan.inference.precision,
            hardware=executor.hardware.name,
        ),
        warnings=(*predictors.warnings, *scheduler.warnings, *executor.warnings),
        stopped=stopped,
    )
    # Now that no unit writes any more.
    for scene_id in [outcome.scene_id for outcome in scheduler.outcomes if not outcome.resumable]:
        require_lock(storage, lock_token)
        storage.delete_all(f"{WORK}/{scene_id}")
    report = write_report(report, plan)
    _warn(console, report.warnings[len(plan.warnings) + len(predictors.warnings) :])
    if stopped is not None:
        raise stopped
    return report


def _checker(stop: Stop, lock: Lock, output: str) -> Callable[[], None]:
    def check() -> None:
        stop.check()
        if lock.lost:
            raise taken_over(output)

    return check


def _open_executor(found: Survey) -> Executor:
    run = found.settings.run
    if run.address == "inline":
        workers = 1 if run.workers == "auto" else run.workers
        return InlineExecutor(run) if workers == 1 else ThreadsExecutor(run, workers)
    from geoseg.engine.ray_cluster.ray_executor import RayExecutor  # noqa: PLC0415  an inline run needs no ray

    files = [*(file for scene, _ in found.scenes for file in scene.files), str(found.bundle.artifact)]
    return RayExecutor(run, [str(Path(file).resolve()) for file in files], open_storage(found.settings.output).url)


def _warn(console: Console, warnings: Sequence[str]) -> None:
    for warning in warnings:
        console.print(f"[yellow]warning:[/yellow] {escape(redact(warning))}", soft_wrap=True, highlight=False)
