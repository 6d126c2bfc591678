"""Windows of a training: drawn at random for training, a fixed list for validation.

A training window is a function of the seed and its number alone, so a training that was stopped goes on with the same
windows, and several workers together see those of one.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from time import perf_counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoseg.evaluate.counts import near_boundary
from geoseg.grid.legend import NODATA_CLASS
from geoseg.grid.window import Window
from geoseg.train.data.labelled import LabelledPixels, LabelledScene
from geoseg.train.data.sites import Sites, window_at
from geoseg.train_settings import DataSettings

MAX_DRAWS = 20
"""Windows that are tried until one has a label that may be used."""


class Place(NamedTuple):
    """A window of a scene."""

    scene: int
    """Index of the scene."""
    window: Window


@dataclass(frozen=True)
class WindowSource:
    """Reads the windows of one split. Threads may use it at the same time."""

    scenes: tuple[LabelledScene, ...]
    sites: Sites
    settings: DataSettings
    split: int
    seed: int

    def draw(self, number: int) -> tuple[Place, LabelledPixels]:
        """Draw and read a training window: first a class, then a site that has it, then a place near by.

        Args:
            number: Number of the window.

        Raises:
            SceneError: If a file cannot be read.
        """
        choice = np.random.default_rng((self.seed, number))
        for _ in range(MAX_DRAWS):
            place = self._draw_place(choice)
            found = self.read(place)
            if (found.labels != NODATA_CLASS).any():
                break
        return place, found

    def read(self, place: Place) -> LabelledPixels:
        """Read a window as a whole patch.

        Labels of another split, of the guard band and, for training, near edges of labels are 255. A window of a scene
        that is smaller than a patch is filled by reflection, as for inference, without labels.
        """
        one, window = self.scenes[place.scene], place.window
        pixels, valid, labels = one.read(window)
        if self.settings.edge_ignore_px and self.split == 0:
            labels[near_boundary(labels, self.settings.edge_ignore_px)] = NODATA_CLASS
        labels[self.sites.split.owner_of(one.scene.grid, window, one.number) != self.split] = NODATA_CLASS
        side = self.settings.patch_px
        missing = [(0, side - window.height), (0, side - window.width)]
        if window.shape != (side, side):
            pixels = np.pad(pixels, [(0, 0), *missing], mode="symmetric")
            valid = np.pad(valid, missing, mode="symmetric")
            labels = np.pad(labels, missing, constant_values=NODATA_CLASS)
        return LabelledPixels(pixels, valid, labels)

    def whole_list(self, most: int) -> list[Place]:
        """Windows of the split's sites, at most ``most``, spread evenly."""
        own = self.sites.of(self.split)
        if len(own) > most:
            own = own[np.linspace(0, len(own) - 1, most).round().astype(np.intp)]
        return [self._place(site, 0, 0) for site in own.tolist()]

    def _draw_place(self, choice: np.random.Generator) -> Place:
        pixels = self.sites.pixels[:, self.split]
        area = pixels.sum(axis=0)
        present = area > 0
        shares = (1 - self.settings.balance) * area / area.sum() + self.settings.balance * present / present.sum()
        of_class = pixels[:, choice.choice(len(area), p=shares)]
        site = int(np.searchsorted(np.cumsum(of_class), choice.integers(of_class.sum()), side="right"))
        half = self.settings.patch_px // 2
        row, col = choice.integers(-half, half + 1, size=2)
        return self._place(site, int(row), int(col))

    def _place(self, site: int, rows: int, cols: int) -> Place:
        scene = int(self.sites.scenes[site])
        row, col = self.sites.corners[site].tolist()
        grid = self.scenes[scene].scene.grid
        return Place(scene, window_at(grid, row + rows, col + cols, self.settings.patch_px))


class Batch(NamedTuple):
    """Windows in one array."""

    places: tuple[Place, ...]
    pixels: NDArray[np.number]
    """Shape (N, C, H, W)."""
    valid: NDArray[np.bool_]
    """Shape (N, H, W)."""
    labels: NDArray[np.uint8]
    """Shape (N, H, W)."""


class BatchReader:
    """Reads batches ahead in threads, so that the network need not wait."""

    def __init__(self, source: WindowSource, readers: int, size: int) -> None:
        """Start the threads.

        Args:
            source: The windows.
            readers: Number of threads.
            size: Windows of a batch.
        """
        self._source, self._size = source, size
        self._ahead = max(2, -(-2 * readers // size)) * size
        self._pool = ThreadPoolExecutor(readers, thread_name_prefix="read")
        self.waited_s = 0.0
        """Seconds in which a batch was waited for."""

    def drawn(self, numbers: Iterator[int]) -> Iterator[Batch]:
        """Batches of drawn windows with these numbers."""
        return self._batches(self._pool.submit(self._source.draw, number) for number in numbers)

    def listed(self, places: Sequence[Place]) -> Iterator[Batch]:
        """Batches of given windows; the last one may be smaller."""
        return self._batches(self._pool.submit(self._read, place) for place in places)

    def path_of(self, place: Place) -> str:
        """The file of a window."""
        return self._source.scenes[place.scene].scene.path

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _read(self, place: Place) -> tuple[Place, LabelledPixels]:
        return place, self._source.read(place)

    def _batches(self, submitted: Iterator[Future[tuple[Place, LabelledPixels]]]) -> Iterator[Batch]:
        waiting = list(islice(submitted, self._ahead))
        while waiting:
            begun = perf_counter()
            found = [future.result() for future in waiting[: self._size]]
            self.waited_s += perf_counter() - begun
            waiting = [*waiting[self._size :], *islice(submitted, len(found))]
            yield Batch(
                tuple(place for place, _ in found),
                *(np.stack(arrays) for arrays in zip(*(window for _, window in found), strict=True)),
            )
