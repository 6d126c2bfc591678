"""What a unit of work took: time, bytes and counts."""

from dataclasses import dataclass, field
from threading import current_thread, main_thread
from time import perf_counter, process_time, thread_time
from typing import Any

from geoseg.raster.losses import Losses


@dataclass(frozen=True, slots=True)
class UnitMetrics:
    """What one unit of work took."""

    stage: str
    """read, predict, finish, trace, rasters, polygons or commit; resumed for a block that an earlier run finished."""
    seconds: float = 0.0
    """Wall time of the unit."""
    bytes: int = 0
    """Pixels read or files written."""
    cpu_seconds: float = 0.0
    """CPU time of its process meanwhile, all threads, or of its thread alone where units run side by side in a process.
    In an inline run the driver's threads, for lock and progress, are in it too."""
    patches: int = 0
    """Patches that went through the model."""
    forward_s: float = 0.0
    """Seconds in the network."""
    valid_pixels: int = 0
    """Pixels that got a class."""
    components: int = 0
    """Regions of one class in a finished block."""
    notes: tuple[str, ...] = ()
    """What the report should tell of it: pixels that could not be decoded, logits that are not finite."""
    losses: Losses = field(default_factory=dict)
    """Why pixels of a finished block are not valid, if hardly any is."""


class UnitTimer:
    """Tells what a unit took since the timer was created."""

    def __init__(self, stage: str) -> None:
        # A process does one unit at a time, and that in its main thread, or several in others.
        self._cpu_clock = process_time if current_thread() is main_thread() else thread_time
        self._stage, self._wall_s, self._cpu_s = stage, perf_counter(), self._cpu_clock()

    def metrics(self, **more: Any) -> UnitMetrics:
        """What the unit took until now; with the values of other fields of `UnitMetrics`."""
        seconds, cpu_seconds = perf_counter() - self._wall_s, self._cpu_clock() - self._cpu_s
        return UnitMetrics(self._stage, seconds, cpu_seconds=cpu_seconds, **more)
