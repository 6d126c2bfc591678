"""Metrics of a unit of work: time, bytes and counts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import current_thread, main_thread
from time import perf_counter, process_time, thread_time
from typing import Any

from geoseg.raster.losses import Losses


@dataclass(frozen=True, slots=True)
class UnitMetrics:
    """Metrics of one unit of work."""

    stage: str
    """read, predict, finish, trace, rasters, polygons or commit; resumed for a block that an earlier run finished."""
    seconds: float = 0.0
    """Wall time of the unit."""
    bytes: int = 0
    """Pixels read or files written."""
    cpu_seconds: float = 0.0
    """CPU time: of all threads of the process, or of the unit's thread alone where several units run in one process.
    In an inline run it includes the driver's threads for lock and progress."""
    patches: int = 0
    """Patches that the model predicted."""
    forward_s: float = 0.0
    """Seconds in the network."""
    valid_pixels: int = 0
    """Pixels that got a class."""
    components: int = 0
    """Regions of one class in a finished block."""
    notes: tuple[str, ...] = ()
    """Sentences for the report: pixels that could not be decoded, logits that are not finite."""
    losses: Losses = field(default_factory=dict)
    """Why pixels of a finished block are not valid; counted only where hardly any is valid."""


class UnitTimer:
    """Measures a unit from the creation of the timer."""

    def __init__(self, stage: str) -> None:
        # A process runs one unit at a time in its main thread, or several units in other threads.
        self._cpu_clock = process_time if current_thread() is main_thread() else thread_time
        self._stage, self._wall_s, self._cpu_s = stage, perf_counter(), self._cpu_clock()

    def metrics(self, **more: Any) -> UnitMetrics:
        """Metrics of the unit until now. ``more`` sets other fields of `UnitMetrics`."""
        seconds, cpu_seconds = perf_counter() - self._wall_s, self._cpu_clock() - self._cpu_s
        return UnitMetrics(self._stage, seconds, cpu_seconds=cpu_seconds, **more)


def resumed_metrics(facts: Mapping[str, Any]) -> UnitMetrics:
    """Metrics of a block that an earlier run finished: no time, and the facts of its record."""
    return UnitMetrics("resumed", **{**facts, "notes": tuple(facts["notes"])})
