"""The order of the work: which block is read, predicted and finished when, on whatever executor.

A block is finished once it and its west, north and north-west neighbours are predicted. Each strip of spill goes to one
neighbour and is dropped when that one is finished, so in raster order about one row of blocks has strips alive.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from geoseg.errors import SceneError
from geoseg.grid.tiling import Block
from geoseg.run.executor import Executor, Ref
from geoseg.run.plan import ScenePlan
from geoseg.run.publishing import Published, publish_scene
from geoseg.run.stages import Cost, ReadBlock, finish_block, read_block

POLL_S = 10.0
"""Longest wait for news; each wait ends as soon as there is some."""

SOURCES = {"east": (0, 1), "south": (1, 0), "south_east": (1, 1)}
"""Where spill goes: (rows, columns) of blocks from its source."""

Watch = Callable[[ScenePlan, Cost], None]
Order = Callable[[Iterable[Block]], Iterable[Block]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a scene ended."""

    path: str
    scene_id: str
    published: Published | None = None
    """What lies in the output; None if the scene failed."""
    error: str | None = None
    """Why it failed."""


@dataclass(slots=True)
class _Progress:
    """One scene on its way."""

    plan: ScenePlan
    predicted: dict[tuple[int, int], Ref] = field(default_factory=dict)
    """Blocks that await spill -> reference to their scores; finished ones -> None."""
    spill: dict[tuple[int, int, str], Ref] = field(default_factory=dict)
    """(row, column, side) of the receiving block -> reference to the strip."""
    blocks_left: int = 0
    failed: bool = False

    def is_ready(self, row: int, col: int) -> bool:
        """Tell whether the block and all blocks that spill into it are predicted."""
        return self.predicted.get((row, col)) is not None and all(
            row < down or col < right or (row - down, col - right) in self.predicted for down, right in SOURCES.values()
        )


class Pipeline:
    """Takes scenes through an executor with bounded work in flight."""

    def __init__(self, executor: Executor, watch: Watch, order: Order = lambda blocks: blocks) -> None:
        """Prepare a run.

        Args:
            executor: Where the work runs.
            watch: Told the cost of every unit as it ends.
            order: In which order the blocks of a scene start; tests shuffle it.
        """
        self._executor, self._watch, self._order = executor, watch, order
        self._pending: dict[Ref, Callable[[], None]] = {}
        self._ready: deque[tuple[_Progress, Block, Ref]] = deque()
        self._in_flight = 0
        self._outcomes: list[Outcome] = []

    def run(self, scenes: Sequence[ScenePlan]) -> list[Outcome]:
        """Process all scenes; a scene that fails does not stop the others."""
        units = self._units(scenes)
        while True:
            self._start_work(units)
            if not self._pending:
                return self._outcomes
            for ref in self._executor.wait(list(self._pending), POLL_S):
                self._pending.pop(ref)()

    def _units(self, scenes: Sequence[ScenePlan]) -> Iterator[tuple[_Progress, Block]]:
        for plan in scenes:
            scene = _Progress(plan, blocks_left=plan.tiling.count)
            for block in self._order(plan.tiling.blocks()):
                if scene.failed:
                    break
                yield scene, block

    def _start_work(self, units: Iterator[tuple[_Progress, Block]]) -> None:
        while True:
            while self._ready and self._executor.can_predict():
                self._predict(*self._ready.popleft())
            if self._pending and self._in_flight >= self._executor.max_blocks:
                return
            unit = next(units, None)
            if unit is None:
                return
            self._read(*unit)

    def _submit(self, scene: _Progress, then: Callable[..., None], refs: tuple[Ref, ...], *context: Any) -> None:
        """Go on with ``then(scene, *context, value of the first reference, *other references)`` once it exists."""

        def news() -> None:
            if scene.failed:
                self._in_flight -= 1
                return
            try:
                value = self._executor.get(refs[0])
            except Exception as error:  # noqa: BLE001  whatever ends a unit ends its scene, and the others go on
                self._in_flight -= 1
                self._fail(scene, error)
                return
            then(scene, *context, value, *refs[1:])

        self._pending[refs[0]] = news

    def _read(self, scene: _Progress, block: Block) -> None:
        self._in_flight += 1
        refs = self._executor.submit(read_block, scene.plan, block, returns=len(ReadBlock._fields))
        self._submit(scene, self._was_read, refs, block)

    def _was_read(self, scene: _Progress, block: Block, facts: Any, pixels: Ref, unscored: Ref) -> None:
        cost, todo = facts
        self._watch(scene.plan, cost)
        if todo:
            self._ready.append((scene, block, pixels))
        else:
            self._was_predicted(scene, block, None, unscored)

    def _predict(self, scene: _Progress, block: Block, pixels: Ref) -> None:
        if scene.failed:
            self._in_flight -= 1
            return
        self._submit(scene, self._was_predicted, self._executor.predict(scene.plan, block, pixels), block)

    def _was_predicted(self, scene: _Progress, block: Block, cost: Cost | None, scores: Ref, *strips: Ref) -> None:
        if cost is not None:
            self._watch(scene.plan, cost)
        self._in_flight -= 1
        scene.predicted[block.row, block.col] = scores
        for (side, (down, right)), strip in zip(SOURCES.items(), strips, strict=False):
            if block.row + down < scene.plan.tiling.block_rows and block.col + right < scene.plan.tiling.block_cols:
                scene.spill[block.row + down, block.col + right, side] = strip
        for down, right in ((0, 0), *SOURCES.values()):
            if scene.is_ready(block.row + down, block.col + right):
                self._finish(scene, block.row + down, block.col + right)

    def _finish(self, scene: _Progress, row: int, col: int) -> None:
        self._in_flight += 1
        scores, scene.predicted[row, col] = scene.predicted[row, col], None
        strips = [scene.spill.pop((row, col, side), None) for side in SOURCES]
        block = scene.plan.tiling.block(row, col)
        self._submit(scene, self._was_finished, self._executor.submit(finish_block, scene.plan, block, scores, *strips))

    def _was_finished(self, scene: _Progress, cost: Cost) -> None:
        self._watch(scene.plan, cost)
        self._in_flight -= 1
        scene.blocks_left -= 1
        if not scene.blocks_left:
            self._in_flight += 1
            self._submit(scene, self._was_published, self._executor.submit(publish_scene, scene.plan))

    def _was_published(self, scene: _Progress, published: Published) -> None:
        for cost in published.costs:
            self._watch(scene.plan, cost)
        self._in_flight -= 1
        self._outcomes.append(Outcome(scene.plan.scene.path, scene.plan.scene.scene_id, published=published))

    def _fail(self, scene: _Progress, error: Exception) -> None:
        scene.failed = True
        scene.predicted.clear()
        scene.spill.clear()
        scene.plan.store.discard()
        message = str(error) if isinstance(error, SceneError) else f"{scene.plan.scene.path}: {_plain(error)}"
        self._outcomes.append(Outcome(scene.plan.scene.path, scene.plan.scene.scene_id, error=message))


def _plain(error: Exception) -> str:
    """An error that no stage has put into words."""
    reason = " ".join(str(error).split())
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        return f"{error.strerror or reason}{where}. Free the space or mend the folder, then run the command again."
    if isinstance(error, MemoryError) or "out of memory" in reason:
        return f"out of memory: {reason} Set tiling.block_px, run.batch_size or run.workers lower, then run it again."
    return f"unexpected {type(error).__name__}: {reason} If the file opens elsewhere, this is a bug: please report it."
