"""Failures in a cluster, and the time of a run to recover from them."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Self

from ray.cluster_utils import Cluster

from geoseg.config import FAULT_VARIABLE
from geoseg.run.report import Report
from tests.support.nodes import actors, family, signal_all
from tests.support.scenes import run

Strike = Callable[[Cluster], None]
BLOCKS = 40
"""Number of finished blocks after which the failure happens."""
ZOMBIE_S = 2.0
"""Time after which the processes of a dead node continue; other nodes have done their work by then."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """A run that recovered from a failure."""

    report: Report
    at: float
    """Time of the failure, by `time.monotonic`."""
    first_s: float | None
    """Seconds until the first unit that was lost was done again; None if none was lost."""
    last_s: float | None
    """The same for the last."""


def kill_model(cluster: Cluster) -> None:
    """End a process that holds the model."""
    actors(a_node(cluster), with_model=True)[0].kill()


def kill_hand(cluster: Cluster) -> None:
    """End a process that reads and finishes blocks."""
    actors(a_node(cluster), with_model=False)[0].kill()


def kill_raylet(cluster: Cluster) -> None:
    """Kill the raylet of a node; its worker processes continue for a while."""
    node, *children = family(a_node(cluster))
    signal_all(children, "suspend")
    node.kill()
    sleep(ZOMBIE_S)
    signal_all(children, "resume")


def remove_node(cluster: Cluster) -> None:
    """Remove a node with all its processes."""
    cluster.remove_node(a_node(cluster), allow_graceful=False)


def freeze_node(cluster: Cluster) -> None:
    """Suspend all processes of a node; its connections stay open but it does not answer."""
    signal_all(family(a_node(cluster)), "suspend")


DISASTERS: dict[str, Strike] = {
    "a process with the model dies": kill_model,
    "a process that reads and finishes dies": kill_hand,
    "the raylet of a node dies": kill_raylet,
    "a node disappears": remove_node,
    "a node freezes": freeze_node,
}


def a_node(cluster: Cluster) -> Any:
    """One of the nodes beside the head."""
    return min(cluster.worker_nodes, key=lambda node: node.all_processes["raylet"][0].process.pid)


def survive(cluster: Cluster, strike: Strike, scene: Path, bundle: Path, output: Path, **settings: Any) -> Recovery:
    """Run on a cluster, cause a failure once `BLOCKS` blocks are finished, and measure the recovery."""
    notes = output.with_suffix(".notes")
    # Ends of second and later attempts, of every stage that works on blocks.
    with fault(f"*:end:r*:[2-9]:note={notes}"), Disaster(output, notes, lambda: strike(cluster)) as disaster:
        report = run(scene, bundle, output, run={"address": cluster.address, **settings}, tiling={"block_px": 48})
    assert disaster.at is not None, "the run was over before anything happened to it"
    first_s, last_s = (news and news - disaster.at for news in (disaster.first, disaster.last))
    return Recovery(report, disaster.at, first_s, last_s)


@contextmanager
def fault(rules: str) -> Iterator[None]:
    """Set the rules for this process and the actors it starts."""
    os.environ[FAULT_VARIABLE] = rules
    try:
        yield
    finally:
        del os.environ[FAULT_VARIABLE]


class Disaster:
    """Causes a failure once a run has finished `BLOCKS` blocks; records when, and when a file grows after that."""

    def __init__(self, output: Path, notes: Path, strike: Callable[[], None]) -> None:
        self._output, self._notes, self._strike = output, notes, strike
        self.at: float | None = None
        self.first: float | None = None
        self.last: float | None = None
        self._over = threading.Event()
        self._pool = ThreadPoolExecutor(1)

    def __enter__(self) -> Self:
        self._watch = self._pool.submit(self._run)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._pool.shutdown()
        self._watch.result()

    def _run(self) -> None:
        size = 0
        while not self._over.wait(0.02):
            if self.at is None and finished_blocks(self._output) >= BLOCKS:
                self.at = monotonic()
                self._strike()
            elif self.at is not None and self._notes.exists() and self._notes.stat().st_size > size:
                size, self.last = self._notes.stat().st_size, monotonic()
                self.first = self.first or self.last


def finished_blocks(output: Path) -> int:
    """Blocks of which a run has a record."""
    return sum(1 for _ in output.glob(".work/*/*/*/blocks/*.json"))
