"""A collar: pixels around the picture of a scene that its file does not declare as nodata."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from geoseg.grid.window import Window
from geoseg.raster.validity.scanline import paint_part

SPECK_PX, SPECK_SHARE = 9, 0.8
"""In a noisy collar a pixel is ruled out as well if this share of the square of this side around it is."""


@dataclass(frozen=True, slots=True)
class Collar:
    """Pixels that belong to no picture, decided once for a scene; equal if they are the same."""

    scene: Window
    """The whole scene."""
    value: float
    """Value of the collar in all bands."""
    noisy: bool
    """Whether lossy compression has changed values."""
    pixels: int
    """Number of pixels."""
    digest: str
    """Identifies the pixels."""
    runs: bytes = field(compare=False, repr=False)
    """`geoseg.raster.validity.scanline.Runs` as int32."""

    def mask(self, window: Window) -> NDArray[np.bool_]:
        """False for the pixels of a window inside the scene that belong to the collar; shape of the window."""
        runs = np.frombuffer(self.runs, np.int32).reshape(-1, 3)
        if not self.noisy:
            return ~paint_part(runs, window)
        halo = SPECK_PX // 2
        around = Window(window.row - halo, window.col - halo, window.height + 2 * halo, window.width + 2 * halo)
        inside = around.intersect(self.scene)
        if inside is None:
            raise ValueError(f"{window} lies outside the scene, {self.scene}.")
        collar = np.ones(around.shape, np.bool_)  # also what is beyond the scene
        collar[inside.slices(around)] = paint_part(runs, inside)
        count = np.rint(uniform_filter(collar.astype(np.float64), SPECK_PX) * SPECK_PX**2)
        kept: NDArray[np.bool_] = ~(collar | (count >= SPECK_SHARE * SPECK_PX**2))[window.slices(around)]
        return kept
