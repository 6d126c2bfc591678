"""Carry out the plan of a run: lock, executor, scheduler, report."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Console
from rich.markup import escape

from geoseg.config import RunSettings
from geoseg.engine.executor import Executor
from geoseg.engine.inline import InlineExecutor
from geoseg.engine.scheduler import Order, Scheduler
from geoseg.engine.threads import ThreadsExecutor
from geoseg.errors import GeosegError, LockLostError, OutputError
from geoseg.model.hardware import Hardware, find_hardware
from geoseg.model.inference import Started
from geoseg.plan.run_plan import Plan, check_device_memory
from geoseg.plan.scene_plan import ScenePlan
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


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be done, before it is known where: the hardware decides a part of the plan."""

    warnings: Sequence[str]
    """Those that are known; the plan repeats them."""
    paths: Sequence[str]
    """Files that every node must see."""
    make_plan: Callable[[str, Hardware, int, str], Plan]
    """Makes the plan from the id of the run, the hardware, the number of workers and the token of the lock."""
    has_work: bool = True
    """Whether an executor is needed."""


def execute(output: str, run: RunSettings, prepare: Callable[[], Job], console: Console, order: Order = iter) -> Report:
    """Hold the lock of an output, make a plan and carry it out.

    Args:
        output: Where results go.
        run: Where and how it works.
        prepare: Called with the lock held.
        console: Shows the progress.
        order: Orders the blocks of a scene.

    Returns:
        The report, also written to ``<output>/runs/<run_id>/report.json``.

    Raises:
        SettingsError: If the run cannot start with these settings, or another run uses the output.
        Interrupted: If the process received SIGINT or SIGTERM.
        ClusterError: If no node is left that could do the work.
        LockLostError: If another run has taken over the output.
        OutputError: If the output cannot be read or written.
    """
    storage = open_storage(output)
    check_writable(storage)
    try:
        run_id = new_run_id()
        with stop_on_signals() as stop, Lock(storage, run_id) as lock:
            return _execute(output, run, prepare(), run_id, lock.token, console, _checker(stop, lock, output), order)
    except OSError as error:
        raise OutputError(
            f"The output {storage.url} cannot be read or written: {error.strerror or error}"
            f"{f' ({error.filename})' if error.filename else ''}. What is done is kept: fix it, then run the same "
            "command again."
        ) from error


def _execute(
    output: str,
    run: RunSettings,
    job: Job,
    run_id: str,
    lock_token: str,
    console: Console,
    check: Callable[[], None],
    order: Order,
) -> Report:
    _warn(console, job.warnings)
    storage, started_at = open_storage(output), datetime.now(UTC)
    if not job.has_work:
        plan = job.make_plan(run_id, find_hardware("cpu"), 1, lock_token)
        return write_report(make_report(plan, [], Totals(0), started_at=started_at), plan)
    if run.address != "inline":
        console.print("starting Ray, or connecting to it ...", highlight=False)
    stopped: GeosegError | None = None
    with ExitStack() as stack:
        executor = stack.enter_context(closing(_open_executor(run, job.paths, storage.url)))
        plan = job.make_plan(run_id, executor.hardware, executor.workers, lock_token)
        _warn(console, plan.warnings[len(job.warnings) :])
        _tell(console, plan.reused)
        for folder in plan.stale:
            require_lock(storage, lock_token)
            storage.delete_all(folder)
        predictors = Started(0)
        if plan.scenes:
            values = [(scene.scene.path, scene.tiling.lattice.scene.pixels * scene.planes) for scene in plan.scenes]
            check_room(storage.url, values, executor.rooms)
            predictors = executor.start(plan.used_network, plan.block_bytes)
            check_device_memory(plan, executor.hardware, predictors)
            _warn(console, predictors.warnings)
            console.print(f"{executor.description}; workers on {executor.device}: {executor.workers}", highlight=False)
        started_at = datetime.now(UTC)
        totals = Totals(executor.workers, run.price_per_hour)
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
            precision=plan.used_network[1].precision if plan.used_network else "none",
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


def _open_executor(run: RunSettings, paths: Sequence[str], url: str) -> Executor:
    if run.address == "inline":
        workers = 1 if run.workers == "auto" else run.workers
        return InlineExecutor(run) if workers == 1 else ThreadsExecutor(run, workers)
    from geoseg.engine.ray_cluster.ray_executor import RayExecutor  # noqa: PLC0415  only for runs on Ray

    return RayExecutor(run, paths, url)


def _warn(console: Console, warnings: Sequence[str]) -> None:
    for warning in warnings:
        console.print(f"[yellow]warning:[/yellow] {escape(redact(warning))}", soft_wrap=True, highlight=False)


def _tell(console: Console, lines: Sequence[str]) -> None:
    for line in lines:
        console.print(escape(redact(line)), soft_wrap=True, highlight=False)
