"""Units of work that can start as soon as a process is free."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from itertools import count
from typing import Any

from geoseg.engine.scene_flow import Flow, Work
from geoseg.engine.scene_state import SceneState


@dataclass(slots=True, eq=False)
class RunningFlow:
    """A flow that has started, and how to start it again."""

    scene: SceneState
    begin: Callable[[], Flow]
    attempt: int = 1
    """Attempt of the part whose values exist in memory only."""
    steps: Generator[Any, Any, Any] | None = None

    def send(self, value: Any) -> Any:
        """Take the flow to its next request; the first value must be None."""
        if self.steps is None:
            self.steps = self.begin()
        return self.steps.send(value)

    def restart(self) -> None:
        """Begin again, as the next attempt; what the flow held is released."""
        if self.steps is not None:
            self.steps.close()
        self.steps, self.attempt = None, self.attempt + 1


@dataclass(frozen=True, slots=True)
class Task:
    """A unit of work and the flow that waits for it."""

    flow: RunningFlow
    work: Work
    attempt: int

    @property
    def rank(self) -> tuple[int, bool, int, int]:
        """Priority: scene by scene, each in raster order, and last what works on the whole scene."""
        block = self.work.block
        return self.flow.scene.number, block is None, *((0, 0) if block is None else (block.row, block.col))

    def again(self) -> "Task":
        """The next attempt at the same unit."""
        return replace(self, attempt=self.attempt + 1)


class ReadyQueue:
    """A priority queue of tasks: older blocks go before newer ones, whenever they came."""

    def __init__(self) -> None:
        self._entries: list[tuple[tuple[int, bool, int, int], int, Task]] = []
        self._numbers = count()

    def __len__(self) -> int:
        """Number of tasks that wait."""
        return len(self._entries)

    def add(self, task: Task) -> None:
        """Add a task."""
        heappush(self._entries, (task.rank, next(self._numbers), task))

    def keep(self, wanted: Callable[[Task], bool]) -> None:
        """Remove all tasks but those wanted."""
        self._entries = sorted(entry for entry in self._entries if wanted(entry[2]))

    def start(self, submit: Callable[[Task], bool]) -> None:
        """Submit tasks in order. One that must wait for the node of its inputs does not hold up those behind it."""
        passed = []
        while self._entries:
            entry = heappop(self._entries)
            if not submit(entry[2]):
                passed.append(entry)
                if not entry[2].work.inputs:
                    break
        for entry in passed:
            heappush(self._entries, entry)
