"""Class maps to polygonize: a landscape with the noise of a model, of any size with the same density of polygons."""

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
"""Share of pixels in specks, for about 50,000 polygons."""


@cache
def speckled_landscape() -> NDArray[np.uint8]:
    """Truth of a landscape without nodata, shape (4096, 4096), with specks as of a model."""
    # The middle of a larger scene lies within the swath.
    middle = Window(SIDE_PX, SIDE_PX, SIDE_PX, SIDE_PX)
    _, truth = landscape(middle, shape=(3 * SIDE_PX, 3 * SIDE_PX), seed=SEED)
    noise = np.random.default_rng(SEED).standard_normal(truth.shape, np.float32)
    smooth = gaussian_filter(noise, SPECK_PX, mode="wrap")
    # A speck gets the class of another place, here of the opposite pixel.
    return np.where(smooth > np.quantile(smooth, 1 - SPECK_PART), truth[::-1, ::-1], truth)


def mirrored(tile: NDArray[np.uint8], times: int) -> NDArray[np.uint8]:
    """Repeat a tile ``times`` x ``times``, mirroring every second one, so that areas continue across the joints."""
    return np.pad(tile, [(0, side * (times - 1)) for side in tile.shape], "symmetric")
