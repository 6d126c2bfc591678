"""Steps that wait for a process."""

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

from geoseg.engine.scene_state import Step


class Line:
    """A line in which older blocks stand before newer ones, whenever they came."""

    def __init__(self) -> None:
        self._steps: list[tuple[tuple[int, bool, int, int], int, Step]] = []
        self._tickets = count()

    def __len__(self) -> int:
        """Number of steps that wait."""
        return len(self._steps)

    def add(self, step: Step) -> None:
        """Let a step wait."""
        heappush(self._steps, (step.rank, next(self._tickets), step))

    def keep(self, wanted: Callable[[Step], bool]) -> None:
        """Forget the others."""
        self._steps = sorted(entry for entry in self._steps if wanted(entry[2]))

    def start(self, submit: Callable[[Step], bool]) -> None:
        """Submit the steps in turn. One that must wait for the node of its inputs lets those behind it pass."""
        passed = []
        while self._steps:
            entry = heappop(self._steps)
            if not submit(entry[2]):
                passed.append(entry)
                if not entry[2].inputs:
                    break
        for entry in passed:
            heappush(self._steps, entry)
