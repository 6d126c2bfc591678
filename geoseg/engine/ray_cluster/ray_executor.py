"""The executor that is a Ray cluster. Beside it only connection.py and train/loop.py import ray.

All work runs in actors that this executor places and watches itself: Ray would try a task that runs out of memory for
ever, and can miss a frozen node for minutes.
"""

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from math import ceil
from time import monotonic
from typing import Any

import ray
import ray.exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from geoseg.config import FAULT_VARIABLE, RunSettings
from geoseg.engine.executor import InputLostError, LostError, Ref, Unit, value_or_raise
from geoseg.engine.ray_cluster.connection import connected, introduce_with_mode, judge_authentication
from geoseg.engine.ray_cluster.nodes import (
    Node,
    common_hardware,
    count_nodes,
    living_nodes,
    node_info,
    require_resources,
    rooms_of,
    validate_nodes,
)
from geoseg.engine.ray_cluster.placement import BLOCKS_PER_PREDICTOR, Held, Placement
from geoseg.engine.ray_cluster.worker import Process, in_words
from geoseg.engine.ray_cluster.worker_pool import CPU_WORKER, CPU_WORKER_CPUS, PREDICTOR, Job, Worker, WorkerPool
from geoseg.errors import ClusterError, GeosegError, SettingsError
from geoseg.model.bundle.bundle import Bundle
from geoseg.model.inference import Inference, Started

OBJECT_STORE_SHARE = 0.3
CHECK_EVERY_S = 2.0
"""How often the driver looks which nodes are alive, which units are overdue and whether cpu_workers are too few."""
MEMORY_PRESSURE = re.compile(r"out of memory|memory pressure|running low on memory", re.IGNORECASE)
FETCH_TIMEOUT_S = 60.0
"""A unit's first value is a few numbers; if it does not come, its node is gone."""


class _Process(Process):
    """The actor."""

    def start(self, fault: str | None, model: tuple[Bundle, Inference] | None) -> tuple[Started, str]:
        """Get ready; what its predictor says of itself, and its GPU."""
        return self.load(fault, model), ",".join(ray.get_runtime_context().get_accelerator_ids().get("GPU", []))


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
        self._ray = ExitStack()
        self._ray.enter_context(connected(settings.address))
        self._workers: list[Worker] = []
        self._parked: list[Worker] = []
        self._placement = Placement()
        self._waited: dict[Ref, Worker] = {}
        self._values: dict[Ref, Any] = {}
        self._needs_cpu_workers = False
        self._asked: dict[Ref, Node] = {}
        self._checked = monotonic()
        self._settings = settings
        try:
            self._nodes = living_nodes(ray.nodes())
            found = "cuda" if any(node.gpus >= 1 for node in self._nodes) else "cpu"
            self.device: str = found if settings.device == "auto" else settings.device
            self._pool = WorkerPool(self._nodes, self.device, settings.threads)
            self.workers = max(1, self._pool.places(PREDICTOR)) if settings.workers == "auto" else settings.workers
            require_resources(self._nodes, self.device, self.workers, settings.threads)
            self._shared_paths = list(paths), output, settings.scratch_dir
            self._handshake()
        except BaseException:
            self.close()
            raise
        self.max_blocks = self.workers * BLOCKS_PER_PREDICTOR + 2
        self.description = f"Ray {ray.__version__}; {count_nodes(self._nodes)}"

    def start(self, bundle: Bundle, inference: Inference, block_bytes: int) -> Started:
        """Start the actors and load the bundle in each; what they all say of themselves.

        Raises:
            SettingsError: If the bundle cannot be used or an actor does not start in time.
        """
        self._model = bundle, inference
        for kind, count in ((PREDICTOR, self.workers), (CPU_WORKER, max(self.workers, len(self._nodes)))):
            for _ in range(count):
                self._launch(kind)
        limit_s = self._settings.start_timeout_s
        predictors, until = list[Started](), monotonic() + limit_s
        while self._waited:
            ready, _ = ray.wait(list(self._waited), timeout=max(0.0, until - monotonic()))
            if not ready:
                raise SettingsError(self._pool.describe_late(len(self._waited), len(self._workers), limit_s))
            worker, started = self._waited.pop(ready[0]), _value_or_error(ready[0])
            if isinstance(started, (LostError, MemoryError)):
                self._replace(worker, str(started))
            else:
                said, _ = value_or_raise(started)
                self._on_started(worker, started)
                predictors += [said] if worker.kind == PREDICTOR else []
        store = ray.cluster_resources().get("object_store_memory", 0)
        self.max_blocks = max(1, min(self.max_blocks, int(OBJECT_STORE_SHARE * store / max(1, block_bytes))))
        batch_sizes = sorted({predictor.batch_size for predictor in predictors})
        if len(batch_sizes) > 1:
            raise SettingsError(f"The predictors take batches of {batch_sizes}. Set run.batch_size={batch_sizes[0]}.")
        warnings = tuple(dict.fromkeys(text for predictor in predictors for text in predictor.warnings))
        return Started(batch_sizes[0], max(predictor.network_bytes for predictor in predictors), warnings)

    def submit(self, unit: Unit) -> tuple[Ref, ...] | None:
        """Give the unit to a process, if one has room for it."""
        home = unit.inputs[0].node_id if unit.inputs else None
        worker = self._placement.choose(unit.stage, home, ceil(self.max_blocks / self.workers))
        if worker is None:
            self._needs_cpu_workers = self._needs_cpu_workers or not self._placement.has_idle_cpu_worker()
            return None
        if unit.plan.scene.scene_id not in worker.plans:
            worker.actor.learn.remote(unit.plan)
            worker.plans.append(unit.plan.scene.scene_id)
        call = worker.actor.run.options(num_returns=unit.stage.outputs)
        refs = call.remote(in_words(unit), *(held.ref for held in unit.inputs))
        first, *large = refs if unit.stage.outputs > 1 else (refs,)
        worker.jobs.append(Job(first, unit.stage, unit.deadline_s, monotonic()))
        self._waited[first] = worker
        return first, *(Held(ref, worker.node_id) for ref in large)

    def wait(self, timeout_s: float) -> list[Ref]:
        """Wait for at least one unit; all that have ended by then."""
        if monotonic() - self._checked >= CHECK_EVERY_S:
            self._receive(0.0)  # the driver may have been busy: what has ended meanwhile is not overdue
            self._check_nodes()
        if not self._values:
            self._receive(min(timeout_s, CHECK_EVERY_S))
        return list(self._values)

    def get(self, ref: Ref) -> Any:
        """The value; raises what its unit raised, and what happened to its process as LostError or MemoryError."""
        return value_or_raise(self._values.pop(ref))

    def close(self) -> None:
        """End the actors, and Ray if this executor started it."""
        for worker in (*self._workers, *self._parked):
            ray.kill(worker.actor)
        self._workers = []
        self._ray.close()

    def _launch(self, kind: str, reason: str = "") -> None:
        """Start one more process where there is a place for it; with none left, go on with fewer."""
        node_id = self._pool.choose(kind, Counter(w.node_id for w in self._workers if w.kind == kind))
        if node_id is None:
            if not any(worker.kind == kind for worker in self._workers):
                raise ClusterError(self._pool.describe_end(kind, reason))
            return
        where = NodeAffinitySchedulingStrategy(node_id, soft=False)
        needs = {**self._pool.needs(kind), "max_concurrency": self._pool.at_a_time(kind)}
        actor = ray.remote(_Process).options(**needs, scheduling_strategy=where).remote()
        model = self._model if kind == PREDICTOR else None
        start = actor.start.remote(os.environ.get(FAULT_VARIABLE), model)
        self._workers.append(Worker(kind, node_id, actor, start, monotonic()))
        self._waited[start] = self._workers[-1]

    def _receive(self, timeout_s: float) -> None:
        """Keep the value of a unit as soon as one has ended, or without a timeout those of all that have."""
        waited = list(self._waited)
        count = 1 if timeout_s else len(waited)
        ready = ray.wait(waited, num_returns=count, timeout=timeout_s, fetch_local=False)[0] if waited else []
        for ref in ready:
            worker = self._waited.pop(ref, None)
            if worker is None:
                continue  # its process was given up a moment ago, for another unit's sake
            value = _value_or_error(ref)
            if ref != worker.start:
                self._on_ended(worker, ref, value)
            elif isinstance(value, Exception):  # whatever keeps a process from starting, another may start
                self._replace(worker, str(value))
            else:
                self._on_started(worker, value)

    def _on_started(self, worker: Worker, started: tuple[int, str]) -> None:
        """Give a process work; but let one on a GPU that failed before hold it and do nothing."""
        worker.start, worker.gpu = None, started[1]
        if not self._pool.is_bad(worker.node_id, worker.gpu):
            self._placement.join(worker)
            return
        self._workers.remove(worker)
        self._parked.append(worker)
        self._pool.park(worker.node_id)
        self._launch(worker.kind, f"GPU {worker.gpu} failed repeatedly")

    def _on_ended(self, worker: Worker, ref: Ref, value: Any) -> None:
        """Keep a unit's value, and replace the process if it was lost with it."""
        worker.jobs = [job for job in worker.jobs if job.ref != ref]
        self._values[ref] = value
        if isinstance(value, (LostError, MemoryError)) and not isinstance(value, InputLostError):
            self._replace(worker, str(value))
            return
        self._pool.succeed(worker.kind, worker.node_id, worker.gpu)
        for following in worker.jobs[:1]:
            following.started = monotonic()

    def _check_nodes(self) -> None:
        """Notice dead nodes, overdue units and processes that do not start."""
        now = self._checked = monotonic()
        nodes = living_nodes(ray.nodes())
        alive = {node.node_id for node in nodes}
        for worker in list(self._workers):
            head = worker.jobs[0] if worker.jobs else None
            if worker.node_id not in alive:
                gone = f"node {self._pool.name(worker.node_id)} is gone"
                self.warnings += [f"{gone}; the others went on."] if self._pool.lose(worker.node_id) else []
                self._replace(worker, gone)
            elif head is not None and now - head.started > head.deadline_s:
                self._replace(worker, f"it took longer than {head.deadline_s:g} s")
            elif worker.start is not None and now - worker.launched > self._settings.start_timeout_s:
                self._replace(worker, f"its process did not start within {self._settings.start_timeout_s:g} s")
        self._add_nodes(nodes)
        if self._needs_cpu_workers and not any(worker.start for worker in self._workers):
            for _ in nodes:
                self._launch(CPU_WORKER)
        self._needs_cpu_workers = False

    def _replace(self, worker: Worker, reason: str) -> None:
        """End a process, count what it had to do as lost, and start another."""
        if worker not in self._workers:
            return
        self._workers.remove(worker)
        self._placement.leave(worker)
        ray.kill(worker.actor)
        self._waited.pop(worker.start, None)
        for job in worker.jobs:
            del self._waited[job.ref]
            self._values[job.ref] = LostError(reason)
        if self._pool.fail(worker.kind, worker.node_id, worker.gpu):
            aside = f"node {self._pool.name(worker.node_id)} was put aside: {reason}"
            self.warnings.append(aside)
            for other in [other for other in self._workers if other.node_id == worker.node_id]:
                self._replace(other, aside)
        self._launch(worker.kind, reason)

    def _handshake(self) -> None:
        """Ask every node that will work whether it has the same software and sees the files."""
        asked = {self._ask_node(node): node for node in self._nodes}
        limit_s = self._settings.start_timeout_s
        ready, _ = ray.wait(list(asked), num_returns=len(asked), timeout=limit_s)
        silent = f"gave no answer within run.start_timeout_s={limit_s:g} s: out of reach, or other jobs hold its CPUs"
        answers = {node.name: _answer(ref) if ref in ready else silent for ref, node in asked.items()}
        judge_authentication(answers)
        validate_nodes(node_info(*self._shared_paths), answers)
        self.hardware, self.warnings = common_hardware(answers)
        self.rooms = rooms_of(answers)

    def _ask_node(self, node: Node) -> Ref:
        where = NodeAffinitySchedulingStrategy(node.node_id, soft=False)
        gpus = int(self.device == "cuda" and node.gpus >= 1)
        needs = {"num_cpus": CPU_WORKER_CPUS, "num_gpus": gpus}
        task = ray.remote(introduce_with_mode).options(**needs, max_retries=0, scheduling_strategy=where)
        return task.remote(*self._shared_paths, self.device if gpus or self.device == "cpu" else None)

    def _add_nodes(self, nodes: Sequence[Node]) -> None:
        """Use nodes that have joined, or come back under another id, once they say that they can do their part."""
        new = [node for node in nodes if node not in self._nodes]
        self._nodes += new
        self._asked |= {self._ask_node(node): node for node in new}
        for ref in [ref for ref in self._asked if ray.wait([ref], timeout=0)[0]]:
            node = self._asked.pop(ref)
            said = {node.name: _answer(ref)}
            try:
                judge_authentication(said)
                validate_nodes(node_info(*self._shared_paths), said, self.hardware)
            except SettingsError as error:
                self.warnings.append(f"A node that joined the cluster was not used: {error}")
                continue
            self._pool.add(node)
            self._launch(CPU_WORKER)
            for _ in range(self.workers - sum(worker.kind == PREDICTOR for worker in self._workers)):
                self._launch(PREDICTOR)


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
