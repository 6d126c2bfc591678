"""Class maps to polygonize: a landscape as a model would see it, of any size at the same number of polygons a pixel."""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from geoseg.demo.landscape import landscape
from geoseg.grid.window import Window

SIDE_PX = 4096
SEED = 7
SPECK_PX = 1.6
"""Standard deviation of the noise that makes specks."""
SPECK_PART = 0.021
"""Part of the pixels that lies in specks, chosen for about 50,000 polygons."""


@cache
def speckled_landscape() -> NDArray[np.uint8]:
    """Truth of a landscape without nodata, shape (4096, 4096), with the specks that a model leaves in it."""
    # The middle of a larger scene lies within the swath.
    middle = Window(SIDE_PX, SIDE_PX, SIDE_PX, SIDE_PX)
    _, truth = landscape(middle, shape=(3 * SIDE_PX, 3 * SIDE_PX), seed=SEED)
    noise = np.random.default_rng(SEED).standard_normal(truth.shape, np.float32)
    smooth = gaussian_filter(noise, SPECK_PX, mode="wrap")
    # A speck takes the class of another place, here of the pixel opposite.
    return np.where(smooth > np.quantile(smooth, 1 - SPECK_PART), truth[::-1, ::-1], truth)


def mirrored(tile: NDArray[np.uint8], times: int) -> NDArray[np.uint8]:
    """Lay a tile out ``times`` x ``times``, every second one mirrored, so that areas go on over the joints."""
    return np.pad(tile, [(0, side * (times - 1)) for side in tile.shape], "symmetric")
