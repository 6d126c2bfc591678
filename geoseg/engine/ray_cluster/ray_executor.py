"""The executor on a Ray cluster.

All work runs in actors that this executor places and monitors itself: Ray would repeat a task that runs out of memory
without limit, and may need minutes to detect a frozen node.
"""

import os
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from math import ceil
from time import monotonic
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from geoseg.config import FAULT_VARIABLE, RunSettings
from geoseg.engine.executor import InputLostError, LostError, Ref, Unit, value_or_raise
from geoseg.engine.ray_cluster.connection import check_authentication, connected, node_info_with_authentication
from geoseg.engine.ray_cluster.fetching import fetch_node_info, fetch_value
from geoseg.engine.ray_cluster.nodes import (
    Node,
    alive_nodes,
    common_hardware,
    count_nodes,
    node_info,
    require_resources,
    validate_nodes,
)
from geoseg.engine.ray_cluster.placement import BLOCKS_PER_PREDICTOR, LocatedRef, Placement
from geoseg.engine.ray_cluster.worker import Process
from geoseg.engine.ray_cluster.worker_pool import (
    CPU_WORKER,
    CPU_WORKER_CPUS,
    PLANS_KEPT,
    PREDICTOR,
    Assignment,
    Worker,
    WorkerPool,
)
from geoseg.errors import ClusterError, SettingsError
from geoseg.model.bundle.bundle import Bundle
from geoseg.model.inference import Inference, Started
from geoseg.plan.scene_plan import ScenePlan

OBJECT_STORE_SHARE = 0.3
CHECK_EVERY_S = 2.0
"""Interval at which the driver checks for dead nodes, overdue units and missing CPU workers."""


class RayExecutor:
    """One actor for each predictor, and CPU workers on every node."""

    def __init__(self, settings: RunSettings, paths: Sequence[str], output: str) -> None:
        """Connect to Ray or start it, and check that every node can take part.

        Args:
            settings: Address, device, workers, threads and deadlines.
            paths: Files that every node must see.
            output: Storage that every node must see.

        Raises:
            SettingsError: If there is no such cluster, or a node lacks what the run needs.
        """
        self._ray = ExitStack()
        self._ray.enter_context(connected(settings.address))
        self._workers: list[Worker] = []
        self._parked: list[Worker] = []
        self._placement = Placement()
        self._waited: dict[Ref, Worker] = {}
        self._values: dict[Ref, Any] = {}
        self._lacks_cpu_workers = False
        self._joining: dict[Ref, Node] = {}
        self._plans: dict[str, Ref] = {}
        self._checked = monotonic()
        self._settings = settings
        try:
            self._nodes = alive_nodes(ray.nodes())
            default = "cuda" if any(node.gpus >= 1 for node in self._nodes) else "cpu"
            self.device: str = default if settings.device == "auto" else settings.device
            self._pool = WorkerPool(self._nodes, self.device, settings.threads)
            self.workers = max(1, self._pool.places(PREDICTOR)) if settings.workers == "auto" else settings.workers
            require_resources(self._nodes, self.device, self.workers, settings.threads)
            self._shared_paths = list(paths), output, settings.scratch_dir
            self._check_all_nodes()
        except BaseException:
            self.close()
            raise
        self.max_blocks = self.workers * BLOCKS_PER_PREDICTOR + 2
        self.description = f"Ray {ray.__version__}; {count_nodes(self._nodes)}"

    def start(self, network: tuple[Bundle, Inference] | None, block_bytes: int) -> Started:
        """Start the workers and load the bundle in every predictor; what they have in common.

        Raises:
            SettingsError: If the bundle cannot be used or a worker does not start in time.
        """
        self._network = network
        for kind, count in (
            (PREDICTOR, self.workers if network else 0),
            (CPU_WORKER, max(self.workers, len(self._nodes))),
        ):
            for _ in range(count):
                self._launch(kind)
        limit_s = self._settings.start_timeout_s
        predictors, until = list[Started](), monotonic() + limit_s
        while self._waited:
            ready, _ = ray.wait(list(self._waited), timeout=max(0.0, until - monotonic()))
            if not ready:
                raise SettingsError(self._pool.describe_start_timeout(len(self._waited), len(self._workers), limit_s))
            worker, started = self._waited.pop(ready[0]), fetch_value(ready[0])
            if isinstance(started, (LostError, MemoryError)):
                self._replace(worker, str(started))
            else:
                start, _ = value_or_raise(started)
                self._on_started(worker, started)
                predictors += [start] if worker.kind == PREDICTOR else []
        store = ray.cluster_resources().get("object_store_memory", 0)
        self.max_blocks = max(1, min(self.max_blocks, int(OBJECT_STORE_SHARE * store / max(1, block_bytes))))
        batch_sizes = sorted({predictor.batch_size for predictor in predictors})
        if len(batch_sizes) > 1:
            raise SettingsError(f"The predictors take batches of {batch_sizes}. Set run.batch_size={batch_sizes[0]}.")
        warnings = tuple(dict.fromkeys(text for predictor in predictors for text in predictor.warnings))
        if not predictors:
            return Started(0)
        return Started(batch_sizes[0], max(predictor.network_bytes for predictor in predictors), warnings)

    def submit(self, unit: Unit) -> tuple[Ref, ...] | None:
        """Send the unit to a worker, if one has room for it."""
        home = unit.inputs[0].node_id if unit.inputs else None
        worker = self._placement.choose(unit.stage, home, ceil(self.max_blocks / self.workers))
        if worker is None:
            self._lacks_cpu_workers = self._lacks_cpu_workers or not self._placement.has_idle_cpu_worker()
            return None
        call = worker.actor.run.options(num_returns=unit.stage.outputs)
        inputs = (located.ref for located in unit.inputs)
        # Ray passes a reference within a list as it is: a worker fetches the plan of a scene once.
        refs = call.remote(unit.stage.name, unit.attempt, [self._put_plan(unit.plan)], unit.args, *inputs)
        first, *large = refs if unit.stage.outputs > 1 else (refs,)
        worker.assignments.append(Assignment(first, unit.stage, unit.deadline_s, monotonic()))
        self._waited[first] = worker
        return first, *(LocatedRef(ref, worker.node_id) for ref in large)

    def wait(self, timeout_s: float) -> list[Ref]:
        """Wait until a unit has ended; the references of all that have."""
        if monotonic() - self._checked >= CHECK_EVERY_S:
            self._receive(0.0)  # first fetch what has ended: that is not overdue
            self._check_nodes()
        if not self._values:
            self._receive(min(timeout_s, CHECK_EVERY_S))
        return list(self._values)

    def get(self, ref: Ref) -> Any:
        """The value; raises the unit's exception, or LostError or MemoryError if its worker failed."""
        return value_or_raise(self._values.pop(ref))

    def close(self) -> None:
        """End the actors, and Ray if this executor started it."""
        for worker in (*self._workers, *self._parked):
            ray.kill(worker.actor)
        self._workers = []
        self._ray.close()

    def _put_plan(self, plan: ScenePlan) -> Ref:
        """Store a plan for the workers, unless it is stored."""
        scene_id = plan.scene.scene_id
        if scene_id not in self._plans:
            if len(self._plans) == PLANS_KEPT:
                del self._plans[next(iter(self._plans))]
            self._plans[scene_id] = ray.put(plan)
        return self._plans[scene_id]

    def _launch(self, kind: str, reason: str = "") -> None:
        """Start one more worker; with no free place, continue with fewer.

        Raises:
            ClusterError: If there is no place and no worker of this kind.
        """
        node_id = self._pool.choose(kind, Counter(w.node_id for w in self._workers if w.kind == kind))
        if node_id is None:
            if not any(worker.kind == kind for worker in self._workers):
                raise ClusterError(self._pool.describe_no_place(kind, reason))
            return
        where = NodeAffinitySchedulingStrategy(node_id, soft=False)
        needs = {**self._pool.resources(kind), "max_concurrency": self._pool.concurrency(kind)}
        actor = ray.remote(Process).options(**needs, scheduling_strategy=where).remote()
        model = self._network if kind == PREDICTOR else None
        start = actor.start.remote(os.environ.get(FAULT_VARIABLE), model)
        self._workers.append(Worker(kind, node_id, actor, start, monotonic()))
        self._waited[start] = self._workers[-1]

    def _receive(self, timeout_s: float) -> None:
        """Store the value of the first unit that ends, or with a timeout of 0 the values of all that have ended."""
        waited = list(self._waited)
        count = 1 if timeout_s else len(waited)
        ready = ray.wait(waited, num_returns=count, timeout=timeout_s, fetch_local=False)[0] if waited else []
        for ref in ready:
            worker = self._waited.pop(ref, None)
            if worker is None:
                continue  # its worker has just been replaced because of another unit
            value = fetch_value(ref)
            if ref != worker.start:
                self._on_ended(worker, ref, value)
            elif isinstance(value, Exception):  # a new worker may start in spite of any error
                self._replace(worker, str(value))
            else:
                self._on_started(worker, value)

    def _on_started(self, worker: Worker, started: tuple[Started, str]) -> None:
        """Make a worker available; on a failing GPU keep it idle, so that Ray gives the GPU to no other."""
        worker.start, worker.gpu = None, started[1]
        if not self._pool.is_failing_gpu(worker.node_id, worker.gpu):
            self._placement.join(worker)
            return
        self._workers.remove(worker)
        self._parked.append(worker)
        self._pool.park(worker.node_id)
        self._launch(worker.kind, f"GPU {worker.gpu} failed repeatedly")

    def _on_ended(self, worker: Worker, ref: Ref, value: Any) -> None:
        """Store a unit's value, and replace its worker if that was lost."""
        worker.assignments = [unit for unit in worker.assignments if unit.ref != ref]
        self._values[ref] = value
        if isinstance(value, (LostError, MemoryError)) and not isinstance(value, InputLostError):
            # First, so that the unit's next try does not go to another worker of the same dead node.
            self._leave_dead_nodes()
            self._replace(worker, str(value))
            return
        self._pool.record_success(worker.kind, worker.node_id, worker.gpu)
        if worker.assignments:
            worker.assignments[0].started = monotonic()

    def _check_nodes(self) -> None:
        """Replace workers on dead nodes, with overdue units, or that do not start; use nodes that have joined."""
        now = self._checked = monotonic()
        nodes = self._leave_dead_nodes()
        for worker in list(self._workers):
            first = worker.assignments[0] if worker.assignments else None
            if first is not None and now - first.started > first.deadline_s:
                self._replace(worker, f"it took longer than {first.deadline_s:g} s")
            elif worker.start is not None and now - worker.launched > self._settings.start_timeout_s:
                self._replace(worker, f"its process did not start within {self._settings.start_timeout_s:g} s")
        self._add_nodes(nodes)
        if self._lacks_cpu_workers and not any(worker.start for worker in self._workers):
            for _ in nodes:
                self._launch(CPU_WORKER)
        self._lacks_cpu_workers = False

    def _leave_dead_nodes(self) -> list[Node]:
        """Replace the workers on nodes that are dead; returns the others."""
        nodes = alive_nodes(ray.nodes())
        for node in self._nodes:
            reason = f"node {node.name} is gone"
            if node not in nodes and self._pool.remove(node.node_id):
                self.warnings.append(f"{reason}; the others went on.")
                for worker in [worker for worker in self._workers if worker.node_id == node.node_id]:
                    self._replace(worker, reason)
        return nodes

    def _replace(self, worker: Worker, reason: str) -> None:
        """Kill a worker, mark its units as lost, and start another worker."""
        if worker not in self._workers:
            return
        self._workers.remove(worker)
        self._placement.leave(worker)
        ray.kill(worker.actor)
        self._waited.pop(worker.start, None)
        for unit in worker.assignments:
            del self._waited[unit.ref]
            self._values[unit.ref] = LostError(reason)
        if self._pool.record_failure(worker.kind, worker.node_id, worker.gpu):
            excluded = f"node {self._pool.name(worker.node_id)} was put aside: {reason}"
            self.warnings.append(excluded)
            for other in [other for other in self._workers if other.node_id == worker.node_id]:
                self._replace(other, excluded)
        self._launch(worker.kind, reason)

    def _check_all_nodes(self) -> None:
        """Check software and visible files of every node."""
        requests = {self._request_node_info(node): node for node in self._nodes}
        limit_s = self._settings.start_timeout_s
        ready, _ = ray.wait(list(requests), num_returns=len(requests), timeout=limit_s)
        silent = f"gave no answer within run.start_timeout_s={limit_s:g} s: out of reach, or other jobs hold its CPUs"
        answers = {node.name: fetch_node_info(ref) if ref in ready else silent for ref, node in requests.items()}
        check_authentication(answers)
        infos = validate_nodes(node_info(*self._shared_paths), answers)
        self.rooms = {f"node {name}": info["room"] for name, info in infos.items()}
        by_node = {name: info["hardware"] for name, info in infos.items() if info["hardware"]}
        self.hardware, self.warnings = common_hardware(by_node)

    def _request_node_info(self, node: Node) -> Ref:
        where = NodeAffinitySchedulingStrategy(node.node_id, soft=False)
        gpus = int(self.device == "cuda" and node.gpus >= 1)
        needs = {"num_cpus": CPU_WORKER_CPUS, "num_gpus": gpus}
        task = ray.remote(node_info_with_authentication).options(**needs, max_retries=0, scheduling_strategy=where)
        return task.remote(*self._shared_paths, self.device if gpus or self.device == "cpu" else None)

    def _add_nodes(self, nodes: Sequence[Node]) -> None:
        """Request information from nodes that have joined, and start workers on those that pass the checks."""
        new = [node for node in nodes if node not in self._nodes]
        self._nodes += new
        self._joining |= {self._request_node_info(node): node for node in new}
        for ref in [ref for ref in self._joining if ray.wait([ref], timeout=0)[0]]:
            node = self._joining.pop(ref)
            answer = {node.name: fetch_node_info(ref)}
            try:
                check_authentication(answer)
                validate_nodes(node_info(*self._shared_paths), answer, self.hardware)
            except SettingsError as error:
                self.warnings.append(f"A node that joined the cluster was not used: {error}")
                continue
            self._pool.add(node)
            self._launch(CPU_WORKER)
            for _ in range(
                (self.workers if self._network else 0) - sum(worker.kind == PREDICTOR for worker in self._workers)
            ):
                self._launch(PREDICTOR)
