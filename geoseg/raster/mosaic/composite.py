"""The sources of a scene that is made of several, as values that travel to workers."""

from collections.abc import Iterator
from dataclasses import dataclass, field
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


@dataclass(frozen=True, slots=True)
class Composite:
    """Sources on the grid of one scene."""

    sources: tuple[Source, ...]
    """By descending priority: where several hold valid pixels, the first one counts."""
    windows: NDArray[np.int64] = field(compare=False)
    """Where each source lies on the scene's grid, shape (N, 4): row, column, and the first row and column after it."""
    settings: SceneSettings
    """How each file is described when it is read."""
    pick: Pick = "first"
    resampling: Resampling = "bilinear"
    """How sources on another grid are brought to the scene's; masks always take the nearest pixel."""
    observed_at: datetime | None = None
    """Time of all sources, if it is one."""
    notes: tuple[str, ...] = ()
    """Sentences for the report: what was decided about the sources."""

    def touching(self, window: Window) -> Iterator[tuple[Source, Window]]:
        """Yield the sources that touch a window of the scene, in order, with the common part."""
        starts = np.maximum(self.windows[:, :2], (window.row, window.col))
        stops = np.minimum(self.windows[:, 2:], (window.row_stop, window.col_stop))
        for index in np.flatnonzero((starts < stops).all(axis=1)).tolist():
            yield self.sources[index], Window.from_bounds(*starts[index].tolist(), *stops[index].tolist())
