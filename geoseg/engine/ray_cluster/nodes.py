"""Check the nodes of a cluster before a run starts, and name the node that lacks something."""

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geoseg.errors import SettingsError
from geoseg.model.hardware import Hardware, find_hardware
from geoseg.plan.software import software
from geoseg.store.lock import LOCK_KEY
from geoseg.store.scratch_space import find_room
from geoseg.store.storages.opening import open_storage

PROBE_TIMEOUT_S = 10.0
KINDS = "; "
"""Separator of hardware names."""


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the cluster."""

    node_id: str
    name: str
    """Host name, address and port."""
    cpus: float
    gpus: float

    def __str__(self) -> str:
        return f"{self.name} with {self.cpus:g} CPUs and {self.gpus:g} GPUs"


def alive_nodes(listed: Sequence[Mapping[str, Any]]) -> list[Node]:
    """The nodes in Ray's list that are alive and offer a CPU."""
    return [
        Node(
            node_id=node["NodeID"],
            name=f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']}:{node['NodeManagerPort']})",
            cpus=node["Resources"].get("CPU", 0.0),
            gpus=node["Resources"].get("GPU", 0.0),
        )
        for node in listed
        if node["Alive"] and node["Resources"].get("CPU", 0.0) > 0
    ]


def describe_nodes(nodes: Sequence[Node]) -> str:
    """The nodes in a sentence, for messages."""
    return "The cluster's nodes: " + "; ".join(str(node) for node in nodes) + "."


def count_nodes(nodes: Sequence[Node]) -> str:
    """Number of nodes, and the sum of their CPUs and GPUs."""
    cpus, gpus = sum(node.cpus for node in nodes), sum(node.gpus for node in nodes)
    return f"nodes: {len(nodes)}, CPUs: {cpus:g}, GPUs: {gpus:g}"


def probe(address: str) -> None:
    """Check that a process listens at a cluster's address: Ray itself tries for minutes before it fails.

    Raises:
        OSError: If none does.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=PROBE_TIMEOUT_S).close()


def require_resources(nodes: Sequence[Node], device: str, workers: int, threads: int) -> None:
    """Refuse a run whose workers do not fit on the cluster.

    Raises:
        SettingsError: If the workers do not fit; names what each node offers.
    """
    offers = "; ".join(str(node) for node in nodes) or "no node with a CPU"
    if device == "cuda":
        fit, what = sum(int(node.gpus) for node in nodes if node.cpus >= threads), "a GPU"
        remedy = "Add GPU nodes, set run.workers lower, or set run.device=cpu"
    else:
        fit, what = sum(int(node.cpus // threads) for node in nodes), f"{threads} CPUs on one node"
        remedy = "Add nodes, or set run.workers or run.threads lower"
    if fit < workers:
        raise SettingsError(
            f"run.workers={workers} with run.device={device} and run.threads={threads}: each worker needs {what}, and "
            f"only {fit} fit on the cluster ({offers}). {remedy}."
        )


def node_info(
    paths: Sequence[str], output: str, scratch_dir: str | None = None, device: str | None = None
) -> dict[str, Any]:
    """Describe this node: its software, the files that it does not see, its scratch folder and its hardware.

    Args:
        paths: Files that every node must see.
        output: Storage that every node must see, with the lock of the run.
        scratch_dir: ``run.scratch_dir``.
        device: ``cpu`` or ``cuda`` if the node predicts, else None.
    """
    unseen = [path for path in paths if not Path(path).exists()]
    # The lock and not the folder: another disk may have a folder of the same name.
    return {
        "software": software(),
        "unseen": unseen if _sees_lock(output) else [*unseen, output],
        "room": find_room(scratch_dir),
        "hardware": None if device is None else find_hardware(device),
    }


def common_hardware(by_node: Mapping[str, Hardware]) -> tuple[Hardware, list[str]]:
    """The hardware that all predicting nodes have in common, and warnings.

    Args:
        by_node: That of each predicting node, by name.
    """
    kinds = sorted({hardware.name for hardware in by_node.values()})
    common = Hardware(
        device=next(iter(by_node.values())).device,
        name=KINDS.join(kinds),
        bf16=all(hardware.bf16 for hardware in by_node.values()),
        memory_bytes=min(hardware.memory_bytes for hardware in by_node.values()),
    )
    if len(kinds) == 1:
        return common, []
    described = "; ".join(f"{name} has {hardware.name}" for name, hardware in sorted(by_node.items()))
    differs = (
        f"The nodes compute with different hardware ({described}), so a few pixels may get another class when another "
        "node does them. Use nodes of one kind to get the same bytes each time."
    )
    return common, [differs]


def _sees_lock(output: str) -> bool:
    try:
        return open_storage(output).size(LOCK_KEY) is not None
    except (OSError, SettingsError):
        return False


def validate_nodes(
    own: Mapping[str, Any], answers: Mapping[str, Mapping[str, Any] | str], hardware: Hardware | None = None
) -> dict[str, Mapping[str, Any]]:
    """Compare the nodes' answers with the driver's.

    Args:
        own: The answer of `node_info` in the driver.
        answers: By name of the node: its answer, or why there is none.
        hardware: That of a run that has begun; see `common_hardware`.

    Returns:
        The answers, all of which are complete.

    Raises:
        SettingsError: If a node cannot take part; names each such node and the reason.
    """
    infos, problems = dict[str, Mapping[str, Any]](), []
    for name, answer in answers.items():
        if isinstance(answer, str):
            problems.append(f"node {name} {answer}")
            continue
        infos[name] = answer
        problems += [f"node {name} does not see {path}" for path in answer["unseen"] if path not in own["unseen"]]
        if hardware and answer["hardware"] and answer["hardware"].name not in hardware.name.split(KINDS):
            problems.append(f"node {name} has {answer['hardware'].name}, the run began with {hardware.name}")
        for package, here in own["software"].items():
            there = answer["software"].get(package, "missing")
            if there != here:
                problems.append(f"node {name} has {package} {there}, the driver has {here}")
    if problems:
        raise SettingsError(
            "; ".join(problems) + ". Every node needs the same software and must see inputs, bundle and output under "
            "the same path (a shared file system); one that joins later needs hardware that the run began with."
        )
    return infos
