"""Labels on the grid of a class map: rasters and polygons, several files as one."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.evaluate.class_mapping import NO_LABEL, ClassMapping
from geoseg.evaluate.label_polygons import LabelPolygons, draw
from geoseg.evaluate.label_rasters import open_label_raster
from geoseg.grid.legend import NODATA_CLASS
from geoseg.grid.window import Grid, Window

ReadLabels = Callable[[Window], NDArray[np.uint8]]
"""Reads compared class ids of a window of a class map, shape of the window; 255 where there is no label."""


@contextmanager
def open_labels(sources: Sequence[Path | LabelPolygons], grid: Grid, mapping: ClassMapping) -> Iterator[ReadLabels]:
    """Open labels on the grid of a class map. Where several hold a label, or ``ignore``, the first one counts.

    Args:
        sources: Label rasters and label polygons.
        grid: Grid of the class map.
        mapping: The compared classes.

    Raises:
        SceneError: If a raster cannot be read, now or later.
        SettingsError: If a value stands for no class, now or later.
    """
    with ExitStack() as stack:
        readers = list[Callable[[Window], NDArray[np.int16]]]()
        outside = NODATA_CLASS
        for source in sources:
            if isinstance(source, LabelPolygons):
                placed = source.place(grid, mapping)
                readers.append(partial(draw, placed, shapely.STRtree(placed.geometry), grid))
                outside = mapping.id_of(mapping.outside)
            else:
                readers.append(stack.enter_context(open_label_raster(source, grid, mapping)).read)

        def read(window: Window) -> NDArray[np.uint8]:
            ids = np.full(window.shape, NO_LABEL, np.int16)
            for each in readers:
                np.copyto(ids, each(window), where=ids == NO_LABEL)
            return np.where(ids == NO_LABEL, outside, ids).astype(np.uint8)

        yield read
