"""Priority queues of units of work that can start as soon as a process is free."""

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count

from geoseg.engine.scene_flow import Flow, Work
from geoseg.engine.scene_state import SceneState


class RunningFlow:
    """A flow in progress, with the function that starts it again."""

    def __init__(self, scene: SceneState, begin: Callable[[], Flow]) -> None:
        self.scene, self._begin, self.steps = scene, begin, begin()
        self.attempt = 1
        """Attempt at the stages whose values exist in memory only; counts from 1."""

    def restart(self) -> None:
        """Reset the flow for the next attempt, and release its values."""
        self.steps.close()
        self.steps, self.attempt = self._begin(), self.attempt + 1


@dataclass(frozen=True, slots=True)
class Task:
    """A unit of work and the flow that waits for it."""

    flow: RunningFlow
    work: Work
    attempt: int

    @property
    def rank(self) -> tuple[int, bool, int, int]:
        """Sort key: scene, blocks before units on the whole scene, then raster order."""
        block = self.work.block
        return self.flow.scene.number, block is None, *((0, 0) if block is None else (block.row, block.col))


class ReadyQueue:
    """A priority queue of tasks, by `Task.rank` and then by arrival."""

    def __init__(self) -> None:
        self._entries: list[tuple[tuple[int, bool, int, int], int, Task]] = []
        self._numbers = count()

    def __len__(self) -> int:
        """Number of waiting tasks."""
        return len(self._entries)

    def add(self, task: Task) -> None:
        """Add a task."""
        heappush(self._entries, (task.rank, next(self._numbers), task))

    def keep(self, wanted: Callable[[Task], bool]) -> None:
        """Keep only the tasks for which ``wanted`` is true."""
        self._entries = sorted(entry for entry in self._entries if wanted(entry[2]))

    def start(self, submit: Callable[[Task], bool]) -> None:
        """Submit tasks in order until one without inputs must wait. A task that waits for a node is skipped."""
        skipped = []
        while self._entries:
            entry = heappop(self._entries)
            if not submit(entry[2]):
                skipped.append(entry)
                if not entry[2].work.inputs:
                    break
        for entry in skipped:
            heappush(self._entries, entry)
