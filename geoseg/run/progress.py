"""Show a run while it goes: a bar on a terminal, a line now and then elsewhere."""

from time import monotonic
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from geoseg.run.plan import ScenePlan
from geoseg.run.stages import Cost

LINE_EVERY_S = 10.0


class Display:
    """Counts finished blocks, patches and pixels over all scenes of a run."""

    def __init__(self, console: Console, blocks: int) -> None:
        """Prepare a display of ``blocks`` blocks on ``console``."""
        self._console, self._blocks = console, blocks
        self._finished = self._resumed = self._patches = self._pixels = 0
        self._started = self._last_line = monotonic()
        self._bar = Progress(
            TextColumn("segment"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("blocks"),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=blocks)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()

    def update(self, plan: ScenePlan, cost: Cost) -> None:
        """Take in what one unit of work did."""
        self._patches += cost.patches
        self._pixels += cost.valid_pixels if cost.stage == "finish" else 0
        self._resumed += cost.stage == "resumed"
        self._finished += cost.stage in {"finish", "resumed"}
        rate = self._pixels / max(1e-9, monotonic() - self._started) / 1e6
        publishing = "" if self._finished < self._blocks else ", writing rasters and polygons"
        resumed = f", {self._resumed} resumed" if self._resumed else ""
        facts = f"{self._patches} patches, {rate:.2f} Mpx/s, scene {plan.scene.scene_id}{resumed}{publishing}"
        self._bar.update(self._task, completed=self._finished, description=facts)
        if not self._console.is_terminal and monotonic() - self._last_line >= LINE_EVERY_S:
            self._last_line = monotonic()
            self._console.print(f"{self._finished} of {self._blocks} blocks, {facts}", highlight=False, soft_wrap=True)
