"""Barriers that flows wait for: neighbouring blocks, or a number of arrivals."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Protocol

from geoseg.grid.tiling import Block, Tiling

Wake = Callable[[], None]
"""Called once, when a barrier opens."""


class Barrier(Protocol):
    """Opens for a block or for the whole scene."""

    def when_open(self, wake: Wake, block: Block | None) -> None:
        """Call ``wake`` when the barrier opens for the block; immediately if it is open."""


class NeighbourBarrier:
    """Opens for a block once the blocks at given steps from it have arrived. Takes one byte for each block."""

    def __init__(self, tiling: Tiling, steps: Iterable[tuple[int, int]]) -> None:
        """Create a barrier.

        Args:
            tiling: The scene's blocks.
            steps: Row and column steps from a block to those it waits for; (0, 0) is the block itself.
        """
        self._rows, self._cols = tiling.block_rows, tiling.block_cols
        # A margin of one block on all sides, which counts as arrived.
        self._width = self._cols + 2
        self._steps = [down * self._width + right for down, right in steps]
        self._arrived = bytearray(b"\1") * ((self._rows + 2) * self._width)
        for row in range(self._rows):
            start = self._index(row, 0)
            self._arrived[start : start + self._cols] = bytes(self._cols)
        self._waiting: dict[int, list[Wake]] = defaultdict(list)

    def arrive(self, block: Block) -> None:
        """Mark a block as arrived, and wake the blocks for which the barrier is open now."""
        here = self._index(block.row, block.col)
        self._arrived[here] = True
        for step in self._steps:
            waiting = here - step
            if waiting in self._waiting and self._is_open(waiting):
                for wake in self._waiting.pop(waiting):
                    wake()

    def when_open(self, wake: Wake, block: Block | None) -> None:
        """See `Barrier`.

        Raises:
            ValueError: Without a block.
        """
        if block is None:
            raise ValueError("A neighbour barrier opens for a block, and none is given.")
        here = self._index(block.row, block.col)
        if self._is_open(here):
            wake()
        else:
            self._waiting[here].append(wake)

    def clear(self) -> None:
        """Drop all callbacks."""
        self._waiting.clear()

    def _is_open(self, index: int) -> bool:
        return all(self._arrived[index + step] for step in self._steps)

    def _index(self, row: int, col: int) -> int:
        return (row + 1) * self._width + col + 1


class Countdown:
    """Opens for the whole scene after a number of arrivals."""

    def __init__(self, count: int) -> None:
        self.left = count
        """Number of missing arrivals."""
        self._waiting: list[Wake] = []

    @property
    def is_open(self) -> bool:
        """Whether all have arrived."""
        return self.left <= 0

    def arrive(self) -> None:
        """Count one arrival."""
        self.left -= 1
        if self.is_open:
            waiting, self._waiting = self._waiting, []
            for wake in waiting:
                wake()

    def when_open(self, wake: Wake, block: Block | None = None) -> None:  # noqa: ARG002
        """See `Barrier`."""
        if self.is_open:
            wake()
        else:
            self._waiting.append(wake)

    def clear(self) -> None:
        """Drop all callbacks."""
        self._waiting.clear()
