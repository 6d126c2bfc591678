"""Sites: places of a training set whose labels were counted before the first step, and their splits."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.errors import SettingsError
from geoseg.grid.legend import NODATA_CLASS
from geoseg.grid.window import Grid, Window
from geoseg.train.data.ground import SPLITS, TEST, TRAINING, VALIDATION, Cells, Split, draw_split, make_cells
from geoseg.train.data.labelled import LabelledScene
from geoseg.train_settings import TrainSettings

_EDGE_POINTS = 17


@dataclass(frozen=True, slots=True)
class Sites:
    """Windows of one patch, and the pixels of each class that each split has in them."""

    scenes: NDArray[np.int32]
    """Index of the scene of each site, shape (N,)."""
    corners: NDArray[np.int64]
    """First row and column, shape (N, 2)."""
    pixels: NDArray[np.int64]
    """Labelled pixels by site, split and class, shape (N, 3, K). Guard bands are not taken off."""
    split: Split

    def of(self, split: int) -> NDArray[np.intp]:
        """Indices of the sites in which a split has labels, ascending."""
        return np.flatnonzero(self.pixels[:, split].any(axis=1))


def find_sites(
    scenes: Sequence[LabelledScene], settings: TrainSettings, progress: Callable[[int, int], None] = lambda *_: None
) -> Sites:
    """Choose sites over all scenes, count their labels, and split the ground.

    Args:
        scenes: All scenes of the training.
        settings: Size and number of the sites, the split, the seed.
        progress: Is told how many of how many sites are read.

    Raises:
        SceneError: If labels cannot be read.
        SettingsError: If there is no label, or too little ground to split.
    """
    side, classes = settings.data.patch_px, len(settings.classes)
    cells = make_cells([one.scene.grid for one in scenes], settings.split.cell_px)
    fixed = _whole_scenes(scenes, settings, cells)
    places = _choose(scenes, side, settings.data.max_sites, settings.run.seed)

    def count(place: tuple[int, int, int]) -> dict[int, NDArray[np.int64]]:
        index, row, col = place
        return _count_cells(scenes[index], window_at(scenes[index].scene.grid, row, col, side), cells, classes)

    counted: list[dict[int, NDArray[np.int64]]] = []
    with ThreadPoolExecutor(settings.run.readers) as pool:
        for found in pool.map(count, places):
            counted.append(found)
            progress(len(counted), len(places))
    split = _split(scenes, places, counted, cells, fixed, settings)
    pixels = np.zeros((len(places), len(SPLITS), classes), np.int64)
    owners = dict(zip(split.codes.tolist(), split.owners.tolist(), strict=True))
    for site, ((index, _, _), found) in enumerate(zip(places, counted, strict=True)):
        for code, numbers in found.items():
            pixels[site, fixed.get(scenes[index].number, owners.get(code, TRAINING))] += numbers
    where = np.array(places, np.int64).reshape(-1, 3)
    sites = Sites(where[:, 0].astype(np.int32), where[:, 1:], pixels, split)
    _check(sites, settings)
    return sites


def window_at(grid: Grid, row: int, col: int, side: int) -> Window:
    """The window of a patch, moved into the scene; smaller if the scene is."""
    height, width = min(side, grid.height), min(side, grid.width)
    return Window(min(max(row, 0), grid.height - height), min(max(col, 0), grid.width - width), height, width)


def _choose(scenes: Sequence[LabelledScene], side: int, most: int, seed: int) -> list[tuple[int, int, int]]:
    """Scene, row and column of sites, spread evenly over a lattice of patches of all scenes."""
    shapes = [(-(-one.scene.grid.height // side), -(-one.scene.grid.width // side)) for one in scenes]
    ends = np.cumsum([rows * cols for rows, cols in shapes])
    total = int(ends[-1])
    numbers = np.arange(total) if total <= most else _spread(total, most, seed)
    index = np.searchsorted(ends, numbers, side="right")
    inner = numbers - np.concatenate([[0], ends])[index]
    widths = np.array([cols for _, cols in shapes])[index]
    return list(zip(index.tolist(), (inner // widths * side).tolist(), (inner % widths * side).tolist(), strict=True))


def _spread(total: int, most: int, seed: int) -> NDArray[np.int64]:
    """One random number of each of ``most`` equal parts of a range."""
    edges = np.linspace(0, total, most + 1).astype(np.int64)
    return np.random.default_rng(seed).integers(edges[:-1], np.maximum(edges[1:], edges[:-1] + 1))


def _count_cells(one: LabelledScene, window: Window, cells: Cells, classes: int) -> dict[int, NDArray[np.int64]]:
    """Labelled pixels of each class by cell of ground."""
    labels = one.read_labels(window)
    known = labels != NODATA_CLASS
    if not known.any():
        return {}
    middles = np.stack(np.meshgrid(*(np.arange(*span) + 0.5 for span in window.ranges[::-1])), axis=-1)
    codes = cells.codes(one.scene.grid, middles[known], one.number)
    unique, place = np.unique(codes, return_inverse=True)
    counts = np.bincount(place * classes + labels[known], minlength=len(unique) * classes).reshape(-1, classes)
    return {int(code): row.astype(np.int64) for code, row in zip(unique, counts, strict=True) if code >= 0}


def _split(
    scenes: Sequence[LabelledScene],
    places: Sequence[tuple[int, int, int]],
    counted: Sequence[dict[int, NDArray[np.int64]]],
    cells: Cells,
    fixed: dict[int, int],
    settings: TrainSettings,
) -> Split:
    total: dict[int, NDArray[np.int64]] = {}
    for (index, _, _), found in zip(places, counted, strict=True):
        for code, numbers in found.items() if scenes[index].number not in fixed else ():
            total[code] = total.get(code, np.zeros_like(numbers)) + numbers
    if not total and not fixed:
        raise SettingsError(
            f"The labels hold no pixel of {', '.join(settings.names)} at {len(places)} places of the scenes. Check "
            "classes, ignore and data.max_sites."
        )
    codes = np.array(sorted(total), np.int64)
    wanted = settings.split
    shares = [
        0.0 if split in fixed.values() else share
        for split, share in ((VALIDATION, wanted.validation_share), (TEST, wanted.test_share))
    ]
    counts = np.stack([total[code] for code in codes.tolist()]) if total else np.zeros((0, 1), np.int64)
    owners = draw_split(counts, shares[0], shares[1], settings.run.seed) if total else np.zeros(0, np.uint8)
    return Split(cells, codes, owners, wanted.guard_px * cells.pixel, fixed)


def _whole_scenes(scenes: Sequence[LabelledScene], settings: TrainSettings, cells: Cells) -> dict[int, int]:
    """Split of each scene, by number, if scenes are named for validation or test.

    Raises:
        SettingsError: If a named scene is none of the training, or its ground is in another split too.
    """
    named = {VALIDATION: settings.split.validation, TEST: settings.split.test}
    fixed: dict[int, int] = {}
    for split, patterns in named.items():
        for pattern in patterns:
            own = [one for one in scenes if _is_named(one, pattern)]
            if not own:
                raise SettingsError(f"split.{SPLITS[split]}: {pattern} is no scene with labels of this training.")
            for one in own:
                if fixed.setdefault(one.number, split) != split:
                    raise SettingsError(f"split: {one.scene.path} is named for validation and for test.")
    if fixed:
        _check_apart(scenes, fixed, cells, settings.split.guard_px * cells.pixel)
    if TEST in fixed.values() and VALIDATION in fixed.values():
        fixed |= {one.number: TRAINING for one in scenes if one.number not in fixed}
    return fixed


def _is_named(one: LabelledScene, pattern: str) -> bool:
    return pattern in (one.scene.scene_id, one.scene.path) or one.scene.path.endswith(f"/{pattern.lstrip('./')}")


def _check_apart(scenes: Sequence[LabelledScene], fixed: dict[int, int], cells: Cells, guard: float) -> None:
    """Refuse scenes of different splits that show the same ground."""
    outlines = {one.number: _outline(one, cells) for one in scenes if one.scene.grid.crs}
    paths = {one.number: one.scene.path for one in scenes}
    for held, split in fixed.items():
        for other, outline in outlines.items():
            if held in outlines and fixed.get(other, TRAINING) != split and other != held:
                distance = float(shapely.distance(outlines[held], outline))
                if distance < guard or shapely.intersects(outlines[held], outline):
                    raise SettingsError(
                        f"{paths[held]} ({SPLITS[split]}) and {paths[other]} ({SPLITS[fixed.get(other, TRAINING)]}) "
                        f"show the same ground: they are {distance / cells.pixel:.0f} pixels apart, and "
                        f"split.guard_px asks for {guard / cells.pixel:.0f}. Put both into one split."
                    )


def _outline(one: LabelledScene, cells: Cells) -> shapely.Polygon:
    grid, steps = one.scene.grid, np.linspace(0, 1, _EDGE_POINTS)[:, None]
    corners = np.array([[0, 0], [grid.width, 0], [grid.width, grid.height], [0, grid.height], [0, 0]], np.float64)
    edges = [start + steps * (stop - start) for start, stop in pairwise(corners)]
    return shapely.make_valid(shapely.Polygon(cells.places(grid, np.concatenate(edges))))


def _check(sites: Sites, settings: TrainSettings) -> None:
    """Refuse a split without training or validation labels, and a class without a training label."""
    per_split = sites.pixels.sum(axis=0)
    for split in (TRAINING, VALIDATION):
        if not per_split[split].any():
            raise SettingsError(
                f"No label is left for {SPLITS[split]}. Change the shares of split, or make split.cell_px smaller."
            )
    absent = [name for name, pixels in zip(settings.names, per_split[TRAINING], strict=True) if not pixels]
    if absent:
        raise SettingsError(
            f"No training label of {', '.join(absent)} was found at {len(sites.scenes)} places. A class that never "
            "occurs cannot be learned: remove it from classes, correct what its labels are, or raise data.max_sites."
        )
