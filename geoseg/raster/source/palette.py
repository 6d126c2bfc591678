"""A band of palette indices as the colours it stands for."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # a scene is described with the help of this module
    from geoseg.raster.source.scene import Scene

Colour = tuple[int, int, int, int]


def as_colours(scene: "Scene", colormap: Mapping[int, Colour]) -> "Scene":
    """Describe a scene of one paletted band as one of red, green and blue; its nodata value stays an index.

    Args:
        scene: As the file describes it.
        colormap: Red, green, blue, alpha (0..255) of each index.
    """
    colours = tuple(colormap.get(index, (0, 0, 0, 0)) for index in range(max(colormap) + 1))
    names = ("red", "green", "blue")
    return replace(
        scene, bands=3, dtypes=scene.dtypes * 3, nodata=scene.nodata * 3, descriptions=names, roles=names,
        scales=(1.0,) * 3, offsets=(0.0,) * 3, palette=colours,
    )  # fmt: skip


def paint(indices: NDArray[np.number], palette: tuple[Colour, ...]) -> tuple[NDArray[np.number], NDArray[np.bool_]]:
    """Look indices up in a palette.

    Args:
        indices: Shape (H, W). An index beyond the palette has no colour.
        palette: Red, green, blue, alpha of each index.

    Returns:
        Red, green and blue in the dtype of ``indices``, shape (3, H, W), and True where there is a colour that is not
        fully transparent, shape (H, W).
    """
    table = np.array([*palette, (0, 0, 0, 0)], indices.dtype)
    # A table of 65,536 colours has an end that uint16 cannot name.
    places = np.minimum(indices.astype(np.int64), len(palette))
    red, green, blue, alpha = table[places].transpose(2, 0, 1)
    return np.stack([red, green, blue]), alpha != 0
