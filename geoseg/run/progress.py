"""Show the progress of a run: a bar on a terminal, otherwise a line every few seconds."""

from time import monotonic
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from geoseg.plan.scene_plan import ScenePlan
from geoseg.run.totals import Totals

LINE_EVERY_S = 10.0
BAR_EVERY_S = 0.25
"""Shortest interval between updates: hundreds of units may end in a second."""


class Display:
    """Shows the totals of a run."""

    def __init__(self, console: Console, blocks: int, totals: Totals) -> None:
        """Prepare a display of ``blocks`` blocks on ``console``."""
        self._console, self._blocks, self._totals = console, blocks, totals
        self._every_s = BAR_EVERY_S if console.is_terminal else LINE_EVERY_S
        self._last_shown = monotonic()
        self._bar = Progress(
            TextColumn("segment"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("blocks"),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=console,
            refresh_per_second=1 / BAR_EVERY_S,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=blocks)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.update(self._task, completed=self._totals.finished)
        self._bar.stop()

    def update(self, plan: ScenePlan) -> None:
        """Show the progress if the interval is over; ``plan`` is that of the scene whose unit has just ended."""
        if monotonic() - self._last_shown < self._every_s:
            return
        self._last_shown = monotonic()
        totals = self._totals
        publishing = "" if totals.finished < self._blocks else ", writing rasters and polygons"
        resumed = f", {totals.resumed} resumed" if totals.resumed else ""
        facts = f"{totals.patches} patches, {totals.rates()}, scene {plan.scene.scene_id}{resumed}{publishing}"
        if self._console.is_terminal:
            self._bar.update(self._task, completed=totals.finished, description=facts)
        else:
            self._console.print(f"{totals.finished} of {self._blocks} blocks, {facts}", highlight=False, soft_wrap=True)
