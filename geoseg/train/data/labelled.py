"""Scenes with their labels: read a window's pixels, validity and class ids."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.errors import SceneError
from geoseg.evaluate.class_mapping import NO_LABEL, ClassMapping
from geoseg.evaluate.label_polygons import LabelPolygons, PlacedPolygons, draw
from geoseg.evaluate.label_rasters import open_label_raster
from geoseg.grid.legend import NODATA_CLASS
from geoseg.grid.window import Window
from geoseg.raster.bands import BandSelection
from geoseg.raster.read import read_window
from geoseg.raster.source.scene import Scene


class LabelledPixels(NamedTuple):
    """A window of a scene with its labels."""

    pixels: NDArray[np.number]
    """Stored values, shape (C, H, W)."""
    valid: NDArray[np.bool_]
    """Shape (H, W)."""
    labels: NDArray[np.uint8]
    """Class ids, shape (H, W); 255 where there is no label or no valid pixel."""


@dataclass(frozen=True)
class PlacedLabels:
    """Label polygons on the grid of a scene, with an index."""

    polygons: PlacedPolygons
    tree: shapely.STRtree


@dataclass(frozen=True)
class LabelledScene:
    """A scene and its labels. Threads may read it at the same time."""

    number: int
    """Number of the scene, from 1."""
    scene: Scene
    selection: BandSelection
    mapping: ClassMapping
    rasters: tuple[Path, ...]
    """Label rasters; where several hold a label, the first one counts."""
    placed: tuple[PlacedLabels, ...] = field(default=(), repr=False)
    """Label polygons, after the rasters."""

    def read_labels(self, window: Window) -> NDArray[np.uint8]:
        """Class ids of a window inside the scene, shape of the window; 255 where there is no label.

        Raises:
            SceneError: If a raster cannot be read.
            SettingsError: If a value stands for no class.
        """
        grid = self.scene.grid
        ids = np.full(window.shape, NO_LABEL, np.int16)
        with ExitStack() as stack:
            for path in self.rasters:
                if (ids == NO_LABEL).any():
                    raster = stack.enter_context(open_label_raster(path, grid, self.mapping))
                    np.copyto(ids, raster.read(window), where=ids == NO_LABEL)
        for one in self.placed:
            np.copyto(ids, draw(one.polygons, one.tree, grid, window), where=ids == NO_LABEL)
        outside = self.mapping.id_of(self.mapping.outside) if self.placed else NODATA_CLASS
        return np.where(ids == NO_LABEL, outside, ids).astype(np.uint8)

    def read(self, window: Window) -> LabelledPixels:
        """Read a window inside the scene.

        Raises:
            SceneError: If the scene or its labels cannot be read.
        """
        pixels, valid = read_window(self.scene, self.selection, window)
        labels = self.read_labels(window)
        labels[~valid] = NODATA_CLASS
        return LabelledPixels(pixels, valid, labels)


def match_polygons(scene: Scene, sources: Sequence[LabelPolygons], mapping: ClassMapping) -> tuple[PlacedLabels, ...]:
    """Place label polygons on a scene.

    Raises:
        SceneError: If the scene has no CRS.
        SettingsError: If a value stands for no class.
    """
    if sources and not scene.grid.crs:
        raise SceneError(f"{scene.path} has no CRS, so label polygons have no place on it. Give label rasters.")
    placed = [source.place(scene.grid, mapping) for source in sources]
    return tuple(PlacedLabels(one, shapely.STRtree(one.geometry)) for one in placed)
