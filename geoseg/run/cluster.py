"""The executor that is a Ray cluster. The only file beside train/loop.py that imports ray.

All work runs in actors that this executor places and watches itself: Ray would try a task that runs out of memory for
ever, and can miss a frozen node for minutes.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any

import ray
import ray.exceptions
from ray._private import ray_constants
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from geoseg.config import FAULT_VARIABLE, RunSettings
from geoseg.errors import ClusterError, GeosegError, SettingsError
from geoseg.model.bundle import Bundle
from geoseg.model.inference import Inference, Started
from geoseg.run import faults
from geoseg.run.executor import InputLostError, LostError, Ref, Unit, value_or_raise
from geoseg.run.interrupt import keep_sigterm
from geoseg.run.nodes import Node, common_hardware, count_nodes, introduce, judge_nodes, probe, require_resources
from geoseg.run.roster import HAND, HAND_CPUS, MODEL, Job, Roster, Worker
from geoseg.run.stages import predict_block

BLOCKS_PER_MODEL = 2
OBJECT_STORE_SHARE = 0.3
LOOK_EVERY_S = 2.0
"""How often the driver looks which nodes are alive and which units are overdue."""
MEMORY_PRESSURE = re.compile(r"out of memory|memory pressure|running low on memory", re.IGNORECASE)
FETCH_TIMEOUT_S = 60.0
"""A unit's first value is a few numbers; if it does not come, its node is gone."""


class _Process:
    """The actor: takes units one after the other."""

    def start(self, fault: str | None, model: tuple[Bundle, Inference] | None) -> tuple[Started, str]:
        """Load the bundle, if it is to predict; what it says of itself, and its GPU. Errors arrive as they are."""
        if fault is not None:
            os.environ[FAULT_VARIABLE] = fault
        if model is None:
            return Started(0), ""
        from geoseg.model.start import start_predictor  # noqa: PLC0415  torch is imported where a model is

        self._predictor = start_predictor(*model)
        started = Started(self._predictor.task.batch_size, self._predictor.task.network_bytes)
        return started, ",".join(ray.get_runtime_context().get_accelerator_ids().get("GPU", []))

    def run(self, stage: Callable[..., Any], attempt: int, *args: Any) -> Any:
        """Run a stage."""
        with faults.attempt(attempt):
            return stage(self._predictor, *args) if stage is predict_block else stage(*args)


class RayExecutor:
    """One actor for each predictor, and on every node some that do the rest."""

    def __init__(self, settings: RunSettings, paths: Sequence[str], output: str) -> None:
        """Connect to Ray, or start it, and make sure that every node can do its part.

        Args:
            settings: Address, device, workers, threads and deadlines.
            paths: Files that every node must see.
            output: Storage that every node must see.

        Raises:
            SettingsError: If there is no such cluster, or a node lacks what the job needs.
        """
        with keep_sigterm():
            self._owns_ray = _connect(settings.address)
        self._workers: list[Worker] = []
        self._parked: list[Worker] = []
        self._values: dict[Ref, Any] = {}
        self._asked: dict[Ref, Node] = {}
        self._looked = monotonic()
        self._settings = settings
        try:
            self._nodes = _nodes()
            found = "cuda" if any(node.gpus >= 1 for node in self._nodes) else "cpu"
            self.device: str = found if settings.device == "auto" else settings.device
            self._roster = Roster(self._nodes, self.device, settings.threads)
            self.workers = max(1, self._roster.places(MODEL)) if settings.workers == "auto" else settings.workers
            require_resources(self._nodes, self.device, self.workers, settings.threads)
            self._see = list(paths), output
            self._handshake()
        except BaseException:
            self.close()
            raise
        self.max_blocks = self.workers * BLOCKS_PER_MODEL + 2
        self.description = f"Ray {ray.__version__}; {count_nodes(self._nodes)}"

    def start(self, bundle: Bundle, inference: Inference, block_bytes: int) -> Started:
        """Start the actors and load the bundle in each; what they all say of themselves.

        Raises:
            SettingsError: If the bundle cannot be used or an actor does not start in time.
        """
        self._model = bundle, inference
        for kind, count in ((MODEL, self.workers), (HAND, len(self._nodes))):
            for _ in range(count):
                self._launch(kind)
        limit_s = self._settings.start_timeout_s
        predictors, until = list[Started](), monotonic() + limit_s
        while starting := {worker.start: worker for worker in self._workers if worker.start}:
            ready, _ = ray.wait(list(starting), timeout=max(0.0, until - monotonic()))
            if not ready:
                raise SettingsError(self._roster.describe_late(len(starting), len(self._workers), limit_s))
            worker, started = starting[ready[0]], _value_or_error(ready[0])
            if isinstance(started, (LostError, MemoryError)):
                self._replace(worker, str(started))
            else:
                said, worker.gpu = value_or_raise(started)
                worker.start = None
                predictors += [said] if worker.kind == MODEL else []
        store = ray.cluster_resources().get("object_store_memory", 0)
        self.max_blocks = max(1, min(self.max_blocks, int(OBJECT_STORE_SHARE * store / max(1, block_bytes))))
        batch_sizes = sorted({predictor.batch_size for predictor in predictors})
        if len(batch_sizes) > 1:
            raise SettingsError(f"The predictors take batches of {batch_sizes}. Set run.batch_size={batch_sizes[0]}.")
        return Started(batch_sizes[0], max(predictor.network_bytes for predictor in predictors))

    def submit(self, unit: Unit) -> tuple[Ref, ...]:
        """Give the unit to the least busy process of its kind."""
        worker = min(self._ready(unit.stage), key=lambda worker: len(worker.jobs))
        call = worker.actor.run.options(num_returns=unit.returns)
        refs = call.remote(unit.stage, unit.attempt, *unit.args)
        refs = (refs,) if unit.returns == 1 else tuple(refs)
        worker.jobs.append(Job(refs[0], unit.deadline_s, monotonic()))
        return refs

    def has_room(self, stage: Callable[..., Any]) -> bool:
        """Tell whether a process of that kind has less to do than it may."""
        if stage is predict_block:
            return any(len(worker.jobs) < BLOCKS_PER_MODEL for worker in self._ready(stage))
        if any(not worker.jobs for worker in self._ready(stage)):
            return True
        if not any(worker.start for worker in self._workers):
            self._launch(HAND)  # there is more to do than these can; the new one is ready in a few seconds
        return False

    def wait(self, timeout_s: float) -> list[Ref]:
        """Wait for at least one unit; all that have ended by then."""
        if monotonic() - self._looked >= LOOK_EVERY_S:
            self._take_in(0.0)  # the driver may have been busy: what has ended meanwhile is not overdue
            self._look_around()
        if not self._values:
            self._take_in(min(timeout_s, LOOK_EVERY_S))
        return list(self._values)

    def get(self, ref: Ref) -> Any:
        """The value; raises what its unit raised, and what befell its process as LostError or MemoryError."""
        return value_or_raise(self._values.pop(ref))

    def close(self) -> None:
        """End the actors, and Ray if this executor started it."""
        for worker in (*self._workers, *self._parked):
            ray.kill(worker.actor)
        self._workers = []
        if self._owns_ray:
            ray.shutdown()

    def _ready(self, stage: Callable[..., Any]) -> list[Worker]:
        kind = MODEL if stage is predict_block else HAND
        return [worker for worker in self._workers if worker.kind == kind and worker.start is None]

    def _launch(self, kind: str, reason: str = "") -> None:
        """Start one more process where there is a place for it; with none left, go on with fewer."""
        node_id = self._roster.choose(kind, Counter(w.node_id for w in self._workers if w.kind == kind))
        if node_id is None:
            if not any(worker.kind == kind for worker in self._workers):
                raise ClusterError(self._roster.describe_end(kind, reason))
            return
        where = NodeAffinitySchedulingStrategy(node_id, soft=False)
        actor = ray.remote(_Process).options(**self._roster.needs(kind), scheduling_strategy=where).remote()
        model = self._model if kind == MODEL else None
        start = actor.start.remote(os.environ.get(FAULT_VARIABLE), model)
        self._workers.append(Worker(kind, node_id, actor, start, monotonic()))

    def _take_in(self, timeout_s: float) -> None:
        """Keep the values of units that have ended, and replace the processes that died."""
        waited = [*(job.ref for w in self._workers for job in w.jobs), *(w.start for w in self._workers if w.start)]
        if waited:
            ray.wait(waited, timeout=timeout_s, fetch_local=False)
        ready = set(ray.wait(waited, num_returns=len(waited), timeout=0, fetch_local=False)[0]) if waited else set()
        for worker in list(self._workers):
            if worker.start in ready:
                started = _value_or_error(worker.start)
                if isinstance(started, Exception):  # whatever keeps a process from starting, another may start
                    self._replace(worker, str(started))
                    continue
                worker.start, worker.gpu = None, started[1]
                self._park_if_bad(worker)
            for job in [job for job in worker.jobs if job.ref in ready]:
                worker.jobs.remove(job)
                value = self._values[job.ref] = _value_or_error(job.ref)
                if isinstance(value, (LostError, MemoryError)) and not isinstance(value, InputLostError):
                    self._replace(worker, str(value))
                    break
                self._roster.succeed(worker.kind, worker.node_id, worker.gpu)
                for following in worker.jobs[:1]:
                    following.started = monotonic()

    def _look_around(self) -> None:
        """Notice dead nodes, overdue units and processes that do not start."""
        now = self._looked = monotonic()
        nodes = _nodes()
        alive = {node.node_id for node in nodes}
        for worker in list(self._workers):
            head = worker.jobs[0] if worker.jobs else None
            if worker.node_id not in alive:
                gone = f"node {self._roster.name(worker.node_id)} is gone"
                self.warnings += [f"{gone}; the others went on."] if self._roster.lose(worker.node_id) else []
                self._replace(worker, gone)
            elif head is not None and now - head.started > head.deadline_s:
                self._replace(worker, f"it took longer than {head.deadline_s:g} s")
            elif worker.start is not None and now - worker.launched > self._settings.start_timeout_s:
                self._replace(worker, f"its process did not start within {self._settings.start_timeout_s:g} s")
        self._welcome(nodes)

    def _replace(self, worker: Worker, reason: str) -> None:
        """End a process, count what it had to do as lost, and start another."""
        if worker not in self._workers:
            return
        self._workers.remove(worker)
        ray.kill(worker.actor)
        for job in worker.jobs:
            self._values[job.ref] = LostError(reason)
        if self._roster.fail(worker.kind, worker.node_id, worker.gpu):
            aside = f"node {self._roster.name(worker.node_id)} was put aside: {reason}"
            self.warnings.append(aside)
            for other in [other for other in self._workers if other.node_id == worker.node_id]:
                self._replace(other, aside)
        self._launch(worker.kind, reason)

    def _park_if_bad(self, worker: Worker) -> None:
        """Let a process on a GPU that failed before hold it and do nothing."""
        if worker in self._workers and self._roster.is_bad(worker.node_id, worker.gpu):
            self._workers.remove(worker)
            self._parked.append(worker)
            self._roster.park(worker.node_id)
            self._launch(worker.kind, f"GPU {worker.gpu} failed repeatedly")

    def _handshake(self) -> None:
        """Ask every node that will work whether it has the same software and sees the files."""
        asked = {self._ask(node): node for node in self._nodes}
        limit_s = self._settings.start_timeout_s
        ready, _ = ray.wait(list(asked), num_returns=len(asked), timeout=limit_s)
        silent = f"gave no answer within run.start_timeout_s={limit_s:g} s: out of reach, or other jobs hold its CPUs"
        answers = {node.name: _answer(ref) if ref in ready else silent for ref, node in asked.items()}
        judge_nodes(introduce(*self._see), answers)
        self.hardware, self.warnings = common_hardware(answers)

    def _ask(self, node: Node) -> Ref:
        where = NodeAffinitySchedulingStrategy(node.node_id, soft=False)
        gpus = int(self.device == "cuda" and node.gpus >= 1)
        needs = {"num_cpus": HAND_CPUS, "num_gpus": gpus}
        task = ray.remote(introduce).options(**needs, max_retries=0, scheduling_strategy=where)
        return task.remote(*self._see, self.device if gpus or self.device == "cpu" else None)

    def _welcome(self, nodes: Sequence[Node]) -> None:
        """Use nodes that have joined, or come back under another id, once they say that they can do their part."""
        new = [node for node in nodes if node not in self._nodes]
        self._nodes += new
        self._asked |= {self._ask(node): node for node in new}
        for ref in [ref for ref in self._asked if ray.wait([ref], timeout=0)[0]]:
            node = self._asked.pop(ref)
            with suppress(SettingsError):
                judge_nodes(introduce(*self._see), {node.name: _answer(ref)})
                self._roster.add(node)
                self._launch(HAND)
                for _ in range(self.workers - sum(worker.kind == MODEL for worker in self._workers)):
                    self._launch(MODEL)


def _connect(address: str) -> bool:
    """Connect to a cluster; True if this process started it."""
    if ray.is_initialized():
        return False
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", "auto")
    if address != "local":
        try:
            probe(address)
            ray.init(address, **quiet)
        except (OSError, ValueError) as error:
            if address != "auto":
                raise SettingsError(
                    f"No Ray cluster answers at {address}: {' '.join(str(error).split())}. "
                    "Start one with `ray start --head`, or set run.address=local."
                ) from error
        else:
            return False
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray would replace 127.0.0.1 by the machine's own address, so that others could reach it.
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    ray_constants.ENABLE_RAY_CLUSTER = False
    ray.init("local", include_dashboard=False, _node_ip_address="127.0.0.1", **quiet)
    return True


def _nodes() -> list[Node]:
    """The living nodes that offer a CPU."""
    return [
        Node(
            node_id=node["NodeID"],
            name=f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']}:{node['NodeManagerPort']})",
            cpus=node["Resources"].get("CPU", 0.0),
            gpus=node["Resources"].get("GPU", 0.0),
        )
        for node in ray.nodes()
        if node["Alive"] and node["Resources"].get("CPU", 0.0) > 0
    ]


def _answer(ref: Ref) -> Mapping[str, Any] | str:
    """What a node says of itself, or why it cannot."""
    try:
        return dict(ray.get(ref))
    except ray.exceptions.RayError as error:
        reason = error.cause if isinstance(error, ray.exceptions.RayTaskError) else error
        return f"cannot run geoseg: {' '.join(str(reason).split())[:300]}"


def _value_or_error(ref: Ref) -> Any:
    """A unit's first value, or what became of it: the error of its stage, LostError or MemoryError."""
    try:
        return ray.get(ref, timeout=FETCH_TIMEOUT_S)
    except ray.exceptions.RayTaskError as error:
        return _translate(error.cause)
    except ray.exceptions.RayError as error:
        return _translate(error)


def _translate(error: Exception) -> Exception:
    if isinstance(error, GeosegError):
        return error  # whatever words it uses
    reason = " ".join(str(error).split())[:300]
    if "OutOfMemory" in type(error).__name__ or MEMORY_PRESSURE.search(reason):
        return MemoryError(reason)
    if isinstance(error, ray.exceptions.ObjectLostError):
        return InputLostError("a node that held its input is gone")
    # After an error of CUDA nothing in that process can be trusted any more.
    return LostError(reason) if isinstance(error, ray.exceptions.RayError) or "CUDA error" in reason else error
