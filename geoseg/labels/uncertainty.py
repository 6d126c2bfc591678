"""How unsure a model was in each window of a published scene."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import SettingsError
from geoseg.grid.legend import NODATA_CLASS
from geoseg.grid.window import Grid, Window
from geoseg.raster.maps.class_map import class_map_grid, class_map_names, open_band


class Measure(StrEnum):
    """What tells how unsure the model was."""

    CONFIDENCE = "confidence"
    """One minus the probability of the class; its raster is published by default."""
    MARGIN = "margin"
    """One minus the difference of the two largest probabilities."""
    ENTROPY = "entropy"
    """Entropy of the probabilities."""
    RANDOM = "random"
    """A number drawn for each window: the baseline to compare with."""


def parse_measure(text: str) -> Measure:
    """The measure of a name.

    Raises:
        SettingsError: If there is none of that name.
    """
    try:
        return Measure(text)
    except ValueError as error:
        raise SettingsError(f"--by {text} is unknown; known are {', '.join(Measure)}.") from error


@dataclass(frozen=True, slots=True)
class SceneWindows:
    """The windows of a scene that hold enough valid pixels, in the order of rows and columns."""

    scene: str
    grid: Grid
    side_px: int
    places: NDArray[np.int64]
    """Row and column of each window, counted in windows, shape (N, 2)."""
    scores: NDArray[np.float64]
    """Mean uncertainty of the valid pixels, 0..1, shape (N,)."""
    main_classes: tuple[str, ...]
    """Name of the class with the largest sum of uncertainty, for each window."""

    def key(self, number: int) -> str:
        """What names a window in a label file: its scene and its first row and column."""
        window = self.window(number)
        return f"{self.scene} {window.row} {window.col}"

    def window(self, number: int) -> Window:
        """Pixels of a window."""
        row, col = (int(place) * self.side_px for place in self.places[number])
        return Window(row, col, min(self.side_px, self.grid.height - row), min(self.side_px, self.grid.width - col))


def measure_windows(
    rasters: Path, scene: str, measure: Measure, side_px: int, random: np.random.Generator
) -> SceneWindows:
    """Measure the windows of a scene of which at least half of the pixels are valid. Memory: a row of windows.

    Args:
        rasters: Folder with the published rasters of the scene.
        scene: Id of the scene.
        measure: Its raster must be there.
        side_px: Side of a window in pixels; those at the right and lower rim may be smaller.
        random: Draws the scores of `Measure.RANDOM`.

    Raises:
        SceneError: If a raster cannot be read.
        SettingsError: If the raster of the measure was not published.
    """
    classes = rasters / "classes.tif"
    certainty = rasters / f"{Measure.CONFIDENCE if measure is Measure.RANDOM else measure}.tif"
    if not certainty.exists():
        raise SettingsError(
            f"{certainty} does not exist. Run the scene with rasters.publish={certainty.stem}, or choose another "
            "--by; confidence is published by default."
        )
    grid = class_map_grid(classes)
    places, scores, main_classes = list[tuple[int, int]](), list[float](), list[str]()
    names = class_map_names(classes)
    with open_band(classes) as read_classes, open_band(certainty) as read_values:
        for row in range(0, grid.height, side_px):
            strip = Window(row, 0, min(side_px, grid.height - row), grid.width)
            ids, values = read_classes(strip), read_values(strip)
            for col in range(0, grid.width, side_px):
                own = ids[:, col : col + side_px]
                valid = own != NODATA_CLASS
                if 2 * np.count_nonzero(valid) < side_px**2:
                    continue
                sums = np.bincount(own[valid], _uncertainty(values[:, col : col + side_px][valid], measure), 256)
                places.append((row // side_px, col // side_px))
                scores.append(sums.sum() / np.count_nonzero(valid))
                main_classes.append(names[sums.argmax()])
    drawn = random.random(len(scores)) if measure is Measure.RANDOM else np.array(scores, np.float64)
    return SceneWindows(scene, grid, side_px, np.array(places, np.int64).reshape(-1, 2), drawn, tuple(main_classes))


def _uncertainty(values: NDArray[np.uint8], measure: Measure) -> NDArray[np.float64]:
    """Stored values of 1..255 as uncertainty of 0..1."""
    share = values / 255
    return share if measure is Measure.ENTROPY else 1 - share
