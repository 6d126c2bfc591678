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
from geoseg.store.storages.opening import check_writable, open_storage


def segment(settings: Settings, console: Console | None = None, order: Order = iter) -> Report:
    """Segment scenes and publish their class maps and polygons.

    Calling this again resumes an interrupted run: finished work is not repeated.

    Args:
        settings: See `geoseg.config.Settings`.
        console: Shows the progress; default: none.
        order: Orders the blocks of a scene; tests shuffle it. It does not change the results.

    Returns:
        The report, also written to ``<output>/runs/<run_id>/report.json``. It names the scenes that failed.

    Raises:
        SettingsError: If the run cannot start with these settings, or another run uses the output.
        Interrupted: If the process received SIGINT or SIGTERM.
        ClusterError: If no node is left that could do the work.
        LockLostError: If another run has taken over the output.
        OutputError: If the output cannot be read or written.
    """
    console = console or Console(quiet=True)
    bundle = read_trusted_bundle(settings.model, trust_code=settings.trust_model_code, sha256=settings.model_sha256)
    surveyed = survey(settings, bundle)
    storage = open_storage(settings.output)
    check_writable(storage)
    try:
        run_id = new_run_id()
        with stop_on_signals() as stop, Lock(storage, run_id) as lock:
            return _run(
                check_output(surveyed), run_id, lock.token, console, _checker(stop, lock, settings.output), order
            )
    except OSError as error:
        raise OutputError(
            f"The output {storage.url} cannot be read or written: {error.strerror or error}"
            f"{f' ({error.filename})' if error.filename else ''}. What is done is kept: fix it, then run the same "
            "command again."
        ) from error


def _run(
    checked: Survey, run_id: str, lock_token: str, console: Console, check: Callable[[], None], order: Order
) -> Report:
    _warn(console, checked.warnings)
    storage, started_at = open_storage(checked.settings.output), datetime.now(UTC)
    if not checked.scenes:
        plan = make_plan(checked, run_id, find_hardware("cpu"), 1)
        return write_report(make_report(plan, [], Totals(0), started_at=started_at), plan)
    if checked.settings.run.address != "inline":
        console.print("starting Ray, or connecting to it ...", highlight=False)
    stopped: GeosegError | None = None
    with ExitStack() as stack:
        executor = stack.enter_context(closing(_open_executor(checked)))
        plan = make_plan(checked, run_id, executor.hardware, executor.workers, lock_token)
        _warn(console, plan.warnings[len(checked.warnings) :])
        for folder in plan.stale:
            require_lock(storage, lock_token)
            storage.delete_all(folder)
        predictors = Started(0)
        if plan.scenes:
            values = [(scene.scene.path, scene.tiling.lattice.scene.pixels * scene.planes) for scene in plan.scenes]
            check_room(storage.url, values, executor.rooms)
            predictors = executor.start(plan.bundle, plan.inference, plan.block_bytes)
            check_device_memory(plan, executor.hardware, predictors)
            _warn(console, predictors.warnings)
            console.print(f"{executor.description}; workers on {executor.device}: {executor.workers}", highlight=False)
        started_at = datetime.now(UTC)
        totals = Totals(executor.workers, checked.settings.run.price_per_hour)
        display = stack.enter_context(Display(console, plan.block_count, totals))

        def watch(scene: ScenePlan, metrics: UnitMetrics) -> None:
            totals.add(scene, metrics)
            display.update(scene)

        scheduler = Scheduler(executor, watch, check, order)
        try:
            scheduler.run(plan.scenes)
        except LockLostError:
            raise  # another run writes to the output now: no report
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
    # Only now: no unit is running any more.
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


def _open_executor(checked: Survey) -> Executor:
    run = checked.settings.run
    if run.address == "inline":
        workers = 1 if run.workers == "auto" else run.workers
        return InlineExecutor(run) if workers == 1 else ThreadsExecutor(run, workers)
    from geoseg.engine.ray_cluster.ray_executor import RayExecutor  # noqa: PLC0415  only for runs on Ray

    files = [*(file for scene, _ in checked.scenes for file in scene.files), str(checked.bundle.artifact)]
    return RayExecutor(run, [str(Path(file).resolve()) for file in files], open_storage(checked.settings.output).url)


def _warn(console: Console, warnings: Sequence[str]) -> None:
    for warning in warnings:
        console.print(f"[yellow]warning:[/yellow] {escape(redact(warning))}", soft_wrap=True, highlight=False)
