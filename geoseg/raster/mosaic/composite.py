"""The sources of a scene that is made of several, as values that travel to workers."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from geoseg.config import SceneSettings
from geoseg.grid.window import Grid, Window

Pick = Literal["first", "median", "fuse"]
Resampling = Literal["nearest", "bilinear", "cubic"]


@dataclass(frozen=True, slots=True)
class Part:
    """Bands of one file."""

    path: str
    """As `geoseg.raster.source.scene.describe` takes it."""
    grid: Grid
    """Size and georeference of the file."""
    bands: tuple[int, ...]
    """Bands of the file, counted from 1."""
    gives: tuple[int, ...]
    """The bands of the scene that they are, in the same order."""
    nodata: float | None = None
    """Nodata value where neither the file nor the settings declare one."""
    scaling: tuple[float, float] | None = None
    """Scale and offset of the bands, instead of what the file declares."""
    shift: int = 0
    """Added to stored values, which end at 0 then; not to scaled ones."""
    asset: str | None = None
    """Key of the asset of an Item."""


@dataclass(frozen=True, slots=True)
class Source:
    """What gives all bands of a scene at some place and time: a file, or several that hold a band or more each."""

    name: str
    """For messages: a path, or the id of an Item."""
    parts: tuple[Part, ...]
    quality: tuple[Part, ...] = ()
    """Files with a band each, which give no band of the scene, but rule out clouds and the like."""
    observed_at: datetime | None = None
    """When it was taken, if it is an Item that tells it."""
    cloud_percent: float | None = None
    """Share of clouds, if it is an Item that tells it."""


@dataclass(frozen=True, slots=True)
class Composite:
    """Sources on the grid of one scene."""

    sources: tuple[Source, ...]
    """By descending priority, if the first valid one counts; else in an order that does not depend on that of input."""
    windows: NDArray[np.int64] = field(compare=False)
    """Where each source lies on the scene's grid, shape (N, 4): row, column, and the first row and column after it."""
    settings: SceneSettings
    """How each file is described when it is read."""
    pick: Pick = "first"
    """What counts where several sources are valid: the first of them, with all bands; the median of their values; or
    the sum of their scores, where each date is predicted by itself."""
    dates: NDArray[np.int64] | None = field(default=None, compare=False)
    """Number of the date, from 0, of each source, if scores are summed; shape (N,)."""
    resampling: Resampling = "bilinear"
    """How sources on another grid are brought to the scene's; masks always take the nearest pixel."""
    observed_at: datetime | None = None
    """Time of all sources, if it is one."""
    notes: tuple[str, ...] = ()
    """Sentences for the report: what was decided about the sources."""

    @property
    def is_fused(self) -> bool:
        """Whether each date is predicted by itself."""
        return self.pick == "fuse"

    def dates_touching(self, window: Window) -> list[int]:
        """Dates with a source that touches a window of the scene, ascending."""
        if self.dates is None:
            return []
        touches, _, _ = self._overlaps(window)
        return [int(date) for date in np.unique(self.dates[touches])]

    def mean_dates(self, scene: Window) -> float:
        """Average number of dates of a pixel, if all pixels of the sources are valid."""
        if self.dates is None:
            return 1.0
        pixels = np.prod(self.windows[:, 2:] - self.windows[:, :2], axis=1)
        by_date = np.bincount(self.dates, pixels) / scene.pixels
        return float(np.minimum(by_date, 1).sum())

    def on_date(self, date: int) -> "Composite":
        """The sources of one date, of which the first valid one counts."""
        if self.dates is None:
            raise ValueError("The sources have no dates.")
        places = np.flatnonzero(self.dates == date)
        sources = tuple(self.sources[place] for place in places.tolist())
        return replace(self, sources=sources, windows=self.windows[places], pick="first", dates=None)

    def touching(self, window: Window) -> Iterator[tuple[Source, Window]]:
        """Yield the sources that touch a window of the scene, in order, with the common part."""
        touches, starts, stops = self._overlaps(window)
        for index in np.flatnonzero(touches).tolist():
            yield self.sources[index], Window.from_bounds(*starts[index].tolist(), *stops[index].tolist())

    def _overlaps(self, window: Window) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
        """Which sources touch a window, and the first and last pixels of the common part."""
        starts = np.maximum(self.windows[:, :2], (window.row, window.col))
        stops = np.minimum(self.windows[:, 2:], (window.row_stop, window.col_stop))
        return np.asarray((starts < stops).all(axis=1)), starts, stops
