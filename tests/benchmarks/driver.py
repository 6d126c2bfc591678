"""CPU time of the driver for each block, with tiny blocks and an empty model. It must not grow with their number."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import numpy as np
import psutil
import ray

from geoseg.grid.tiling import Block
from tests.benchmarks.figure import Figure
from tests.support.bundles import constant_bundle
from tests.support.scenes import run as segment
from tests.support.scenes import write_scene

T = TypeVar("T")
FEW, MANY = (25, 40), (100, 100)
"""Rows and columns of blocks."""
LOOK_EVERY = 250
"""Blocks, or calls, between two looks at the clock; the median of what lies between them passes over a busy moment."""
STRIDE_PX = 24
SETTINGS = {"run": {"address": "local", "device": "cpu", "workers": 2}, "tiling": {"block_px": STRIDE_PX}}
MOST_GROWTH = 1.2
CALLS, CALLS_UNDER_WAY, CALL_S = 4000, 6, 0.002
CALLS_PER_BLOCK = 4
"""Read, predict, finish, trace."""


@dataclass(frozen=True, slots=True)
class Look:
    """CPU time and memory of a process so far."""

    cpu_s: float
    """CPU time of all its threads."""
    resident_bytes: int

    @classmethod
    def now(cls) -> "Look":
        """This process."""
        return cls(time.process_time(), psutil.Process().memory_info().rss)


def run(folder: Path) -> Iterator[Figure]:
    """Segment scenes of 1,000, 10,000 and again 1,000 blocks, each with a new driver."""
    bundle = constant_bundle(folder / "bundle", 1, 3)
    few, many, again = (_apart(drive, folder / str(i), bundle, *shape) for i, shape in enumerate((FEW, MANY, FEW)))
    ray_ms = CALLS_PER_BLOCK * _milliseconds(_apart(call))
    few_ms, many_ms = (_milliseconds(few) + _milliseconds(again)) / 2, _milliseconds(many)
    yield Figure("driver", "CPU time a block, 1,000 blocks", few_ms, "ms", ray_ms, "as many calls of Ray")
    yield Figure("driver", "CPU time a block, 10,000 blocks", many_ms, "ms", few_ms, "1,000 blocks", MOST_GROWTH)
    grown_bytes = (many[-1].resident_bytes - many[len(few)].resident_bytes) / (len(many) - 1 - len(few)) / LOOK_EVERY
    yield Figure("driver", "memory that stays of a block, after the first 1,000", grown_bytes, "bytes")


def drive(folder: Path, bundle: Path, rows: int, cols: int) -> list[Look]:
    """Segment a scene of ``rows * cols`` blocks of one patch each, with this process as the driver."""
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(1, 200, (1, rows * STRIDE_PX, cols * STRIDE_PX)).astype(np.uint8)
    scene = write_scene(folder / "scene.tif", pixels, tiled=True, blockxsize=512, blockysize=512)
    looks = []

    def look(blocks: Iterable[Block]) -> Iterator[Block]:
        for number, block in enumerate(blocks):
            if number % LOOK_EVERY == 0:
                looks.append(Look.now())
            yield block

    segment(scene, bundle, folder / "out", order=look, **SETTINGS)
    return looks


def call() -> list[Look]:
    """Call actors that return two small values after a while, with this process as the driver."""

    class Actor:
        def work(self) -> tuple[int, bytes]:
            time.sleep(CALL_S)
            return 0, bytes(1000)

    ray.init("local", include_dashboard=False, _node_ip_address="127.0.0.1", logging_level="ERROR", num_cpus=1)
    actors = [ray.remote(Actor).options(num_cpus=0).remote() for _ in range(CALLS_UNDER_WAY // 2)]
    looks, pending = [], {}
    for number in range(CALLS):
        if number % LOOK_EVERY == 0:
            looks.append(Look.now())
        if number >= CALLS_UNDER_WAY:
            (ref,), _ = ray.wait(list(pending), fetch_local=False)
            ray.get(ref)
            del pending[ref]
        first, second = actors[number % len(actors)].work.options(num_returns=2).remote()
        pending[first] = second
    ray.shutdown()
    return looks


def _milliseconds(looks: Sequence[Look]) -> float:
    """CPU time a block, or a call, without the first ones."""
    return 1000 * median(b.cpu_s - a.cpu_s for a, b in pairwise(looks[1:])) / LOOK_EVERY


def _apart(function: Callable[..., T], *args: Any) -> T:
    """The value of a function in a new process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *args).result()
