"""The executor that is a Ray cluster. The only file beside train/loop.py that imports ray."""

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
import ray.exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from geoseg.config import RunSettings
from geoseg.errors import SceneError, SettingsError
from geoseg.model.bundle import Bundle
from geoseg.model.inference import Inference
from geoseg.run.executor import Ref
from geoseg.run.nodes import Node, introduce, judge_nodes, require_resources
from geoseg.run.stages import Predicted, predict_block

ACTOR_CPU_SHARE = 0.9
"""Actors reserve nine tenths of their CPUs: a node full of actors keeps room to read and finish their blocks."""
TASK_CPUS = 0.1
"""More than zero, so that nodes that offer no CPU (the head of a KubeRay cluster) get no work."""
BLOCKS_PER_ACTOR = 2
OBJECT_STORE_SHARE = 0.3
TASK_RETRIES = 2
PROBE_TIMEOUT_S = 10.0


@dataclass(slots=True)
class _Worker:
    actor: Any
    blocks: int = 0
    """Blocks it was given and has not returned."""


class _Model:
    """The actor: a predictor on one device."""

    def start(self, bundle: Bundle, inference: Inference) -> int:
        """Load the bundle; separate from the constructor so that what it raises arrives as itself."""
        from geoseg.model.predictor import Predictor  # noqa: PLC0415  torch is imported in actors only

        self._predictor = Predictor(bundle, inference)
        return self._predictor.batch_size

    def predict(self, *args: Any) -> Predicted:
        """Run `predict_block` with the predictor."""
        return predict_block(self._predictor, *args)


class RayExecutor:
    """Tasks for reading and finishing, one actor for each predictor."""

    def __init__(self, settings: RunSettings, paths: Sequence[str], output: str) -> None:
        """Connect to Ray, or start it, and make sure that every node can do its part.

        Args:
            settings: Address, device, workers, threads and deadline.
            paths: Files that every node must see.
            output: Directory that every node must see.

        Raises:
            SettingsError: If there is no such cluster, or a node lacks what the job needs.
        """
        self._owns_ray = _connect(settings.address)
        self._workers: list[_Worker] = []
        self._giver: dict[Ref, _Worker] = {}
        self._settings = settings
        try:
            self._nodes = _nodes()
            gpus = sum(node.gpus for node in self._nodes)
            self.device: str = settings.device if settings.device != "auto" else ("cuda" if gpus >= 1 else "cpu")
            per_node = [int(n.gpus if self.device == "cuda" else n.cpus // settings.threads) for n in self._nodes]
            self.workers = max(1, sum(per_node)) if settings.workers == "auto" else settings.workers
            require_resources(self._nodes, self.device, self.workers, settings.threads)
            self._handshake(paths, output)
        except BaseException:
            self.close()
            raise
        self.max_blocks = self.workers * BLOCKS_PER_ACTOR + 2
        cpus = sum(node.cpus for node in self._nodes)
        self.description = f"Ray {ray.__version__}; nodes: {len(self._nodes)}, CPUs: {cpus:g}, GPUs: {gpus:g}"

    def start(self, bundle: Bundle, inference: Inference, block_bytes: int) -> int:
        """Start the actors and load the bundle in each; the batch size they agreed on.

        Args:
            bundle: The model.
            inference: How the forward pass runs.
            block_bytes: Bytes of a block in flight, of which the object store holds a bounded number.

        Raises:
            SettingsError: If the bundle cannot be used or an actor does not start in time.
        """
        needs = {"num_cpus": ACTOR_CPU_SHARE * inference.threads, "num_gpus": int(self.device == "cuda")}
        actor_class = ray.remote(_Model).options(**needs)
        self._workers = [_Worker(actor_class.remote()) for _ in range(self.workers)]
        refs = [worker.actor.start.remote(bundle, inference) for worker in self._workers]
        ready, late = ray.wait(refs, num_returns=len(refs), timeout=self._settings.start_timeout_s)
        if late:
            raise SettingsError(
                f"{len(late)} of {len(refs)} workers did not start within {self._settings.start_timeout_s:g} s; each "
                f"needs {needs}. {_list(self._nodes)} Set run.workers lower, free the cluster or raise "
                "run.start_timeout_s."
            )
        store = ray.cluster_resources().get("object_store_memory", 0)
        self.max_blocks = max(1, min(self.max_blocks, int(OBJECT_STORE_SHARE * store / max(1, block_bytes))))
        return int(min(self.get(ref) for ref in ready))

    def submit(self, function: Callable[..., Any], *args: Any, returns: int = 1) -> tuple[Ref, ...]:
        """Run the function as a task."""
        task = ray.remote(function).options(num_cpus=TASK_CPUS, num_returns=returns, max_retries=TASK_RETRIES)
        refs = task.remote(*args)
        return (refs,) if returns == 1 else tuple(refs)

    def can_predict(self) -> bool:
        """Tell whether an actor has less than two blocks in flight."""
        return any(worker.blocks < BLOCKS_PER_ACTOR for worker in self._workers)

    def predict(self, *args: Any) -> tuple[Ref, ...]:
        """Run the least busy actor."""
        worker = min(self._workers, key=lambda worker: worker.blocks)
        worker.blocks += 1
        refs = tuple(worker.actor.predict.options(num_returns=len(Predicted._fields)).remote(*args))
        self._giver[refs[0]] = worker
        return refs

    def wait(self, refs: Sequence[Ref], timeout_s: float) -> list[Ref]:
        """Wait for at least one result; all that exist by then."""
        ready, _ = ray.wait(list(refs), timeout=timeout_s, fetch_local=False)
        more, _ = ray.wait(list(refs), num_returns=len(refs), timeout=0, fetch_local=False)
        for ref in (done := list({*ready, *more})):
            if ref in self._giver:
                self._giver.pop(ref).blocks -= 1
        return sorted(done, key=list(refs).index)

    def get(self, ref: Ref) -> Any:
        """The value; raises what its unit raised, and a dead process as the failure of the scene."""
        try:
            return ray.get(ref)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ray.exceptions.RayError as error:
            reason = " ".join(str(error).split())[:300]
            raise SceneError(
                f"A process of the cluster died and its work could not be done again: {reason} "
                "If it ran out of memory, set tiling.block_px or run.workers lower."
            ) from error

    def close(self) -> None:
        """End the actors, and Ray if this executor started it."""
        for worker in self._workers:
            ray.kill(worker.actor)
        self._workers = []
        if self._owns_ray:
            ray.shutdown()

    def _handshake(self, paths: Sequence[str], output: str) -> None:
        """Ask every node that will work whether it has the same software and sees the files."""
        task = ray.remote(introduce)
        asked = {}
        for node in self._nodes:
            where = NodeAffinitySchedulingStrategy(node.node_id, soft=False)
            options = {"num_cpus": TASK_CPUS, "max_retries": 0, "scheduling_strategy": where}
            asked[task.options(**options).remote(list(paths), output)] = node
        ready, _ = ray.wait(list(asked), num_returns=len(asked), timeout=self._settings.start_timeout_s)
        answers: dict[str, Mapping[str, Any] | str] = {}
        for ref, node in asked.items():
            if ref not in ready:
                answers[node.name] = f"gave no answer within run.start_timeout_s={self._settings.start_timeout_s:g} s"
                continue
            try:
                answers[node.name] = ray.get(ref)
            except ray.exceptions.RayError as error:
                reason = error.cause if isinstance(error, ray.exceptions.RayTaskError) else error
                answers[node.name] = f"cannot run geoseg: {' '.join(str(reason).split())[:300]}"
        judge_nodes(introduce(list(paths), output), answers)


def _connect(address: str) -> bool:
    """Connect to a cluster; True if this process started it."""
    if ray.is_initialized():
        return False
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", "auto")
    if address != "local":
        try:
            _probe(address)
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
    ray.init("local", include_dashboard=False, _node_ip_address="127.0.0.1", **quiet)
    return True


def _probe(address: str) -> None:
    """Raise OSError if nobody listens there: Ray itself tries for minutes before it says so."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=PROBE_TIMEOUT_S).close()


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


def _list(nodes: Sequence[Node]) -> str:
    return "The cluster's nodes: " + "; ".join(str(node) for node in nodes) + "."
