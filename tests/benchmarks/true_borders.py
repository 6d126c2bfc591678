"""Class maps whose true borders are known: drawn finer than their pixels, with curved and straight borders."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter, zoom

FINER = 8
"""The truth is drawn with so many points a pixel on each axis."""
CURVED_CLASSES, STRAIGHT_CLASSES = 5, 3
SMOOTH_PX = 14
"""Standard deviation of the noise under every second curved class; under the others it is twice that."""
PARCELS = 40


@dataclass(frozen=True, slots=True)
class TrueMap:
    """A class map and the distance to its true borders."""

    classes: NDArray[np.uint8]
    """Class of the centre of each pixel, shape (S, S)."""
    distance_px: NDArray[np.float32]
    """Distance of each point of the fine grid to a true border, shape (FINER * S, FINER * S)."""

    def distance_to(self, xy: NDArray[np.float64]) -> NDArray[np.float32]:
        """Distance of points in pixels, shape (N, 2), to the true borders; points near the rim are left out."""
        inside = ((xy > 1) & (xy < len(self.classes) - 1)).all(axis=1)
        col, row = (xy[inside].T * FINER).astype(int)
        return np.asarray(self.distance_px[row, col])


def draw_true_map(side_px: int, seed: int) -> TrueMap:
    """Draw regions of smooth noise with rotated rectangles upon them."""
    fine = _draw(side_px, np.random.default_rng(seed))
    border = np.zeros(fine.shape, np.bool_)
    border[:, :-1] |= fine[:, :-1] != fine[:, 1:]
    border[:-1] |= fine[:-1] != fine[1:]
    distance = distance_transform_edt(~border).astype(np.float32) / FINER
    return TrueMap(np.ascontiguousarray(fine[FINER // 2 :: FINER, FINER // 2 :: FINER]), distance)


def _draw(side_px: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    best = np.full((side_px * FINER,) * 2, -np.inf, np.float32)
    classes = np.zeros(best.shape, np.uint8)
    for class_id in range(CURVED_CLASSES):
        noise = rng.standard_normal((side_px, side_px), dtype=np.float32)
        field = gaussian_filter(noise, SMOOTH_PX * (1 + class_id % 2))
        field = zoom(field / field.std(), FINER, order=1)
        better = field > best
        best[better], classes[better] = field[better], class_id
    row, col = np.mgrid[: len(classes), : len(classes)].astype(np.float32) / FINER
    for parcel in range(PARCELS):
        (x, y), (width, height) = rng.uniform(40, side_px - 40, 2), rng.uniform(12, 60, 2)
        angle = rng.uniform(0, np.pi)
        along = (col - x) * np.cos(angle) + (row - y) * np.sin(angle)
        across = (row - y) * np.cos(angle) - (col - x) * np.sin(angle)
        inside = (abs(along) < width / 2) & (abs(across) < height / 2)
        classes[inside] = CURVED_CLASSES + parcel % STRAIGHT_CLASSES
    return classes
