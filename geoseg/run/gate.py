"""Hold blocks back until those they need have arrived."""

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

Place = tuple[int, int]
"""Row and column of a block among the blocks of a scene."""

SPILL = {"east": (0, 1), "south": (1, 0), "south_east": (1, 1)}
"""Where a block's spill goes: (rows, columns) of blocks from it."""

AROUND = tuple((down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if down or right)
"""Steps to the eight neighbours of a block."""

BEFORE = tuple((-down, -right) for down, right in SPILL.values())
"""Steps to the blocks that spill into a block."""

T = TypeVar("T")


class Gate(Generic[T]):
    """Takes in one value a block and lets a block through, once, when it and its neighbours have arrived.

    A value is let go of as soon as every block that needs it has been let through.
    """

    def __init__(self, rows: int, cols: int, steps: Iterable[Place]) -> None:
        """Make a gate.

        Args:
            rows: Rows of blocks in the scene.
            cols: Columns of blocks.
            steps: Where the blocks lie that a block needs beside itself, as (rows, columns) from it.
        """
        self._rows, self._cols, self._steps = rows, cols, tuple(steps)
        self._values: dict[Place, T] = {}
        self._missing: dict[Place, int] = {}
        self._users: dict[Place, int] = {}

    def arrive(self, place: Place, value: T) -> Iterator[tuple[Place, T, dict[Place, T]]]:
        """Take in a block's value; each block that may now go on, its value and its neighbours' by their step."""
        self._values[place] = value
        for step in ((0, 0), *self._steps):
            waiting = (place[0] - step[0], place[1] - step[1])
            if self._holds(waiting):
                left = self._missing.setdefault(waiting, 1 + len(self._neighbours(waiting))) - 1
                self._missing[waiting] = left
                if not left:
                    yield waiting, self._values[waiting], {s: self._values[p] for s, p in self._neighbours(waiting)}
                    self._leave(waiting)

    def clear(self) -> None:
        """Let go of everything."""
        self._values.clear()

    def _neighbours(self, place: Place) -> list[tuple[Place, Place]]:
        found = ((step, (place[0] + step[0], place[1] + step[1])) for step in self._steps)
        return [(step, neighbour) for step, neighbour in found if self._holds(neighbour)]

    def _leave(self, place: Place) -> None:
        del self._missing[place]
        for needed in (place, *(neighbour for _, neighbour in self._neighbours(place))):
            users = [(needed[0] - down, needed[1] - right) for down, right in ((0, 0), *self._steps)]
            count = self._users.setdefault(needed, sum(self._holds(user) for user in users)) - 1
            self._users[needed] = count
            if not count:
                del self._users[needed]
                self._values.pop(needed, None)

    def _holds(self, place: Place) -> bool:
        return 0 <= place[0] < self._rows and 0 <= place[1] < self._cols
