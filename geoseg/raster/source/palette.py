"""Expand a band of palette indices to its colours."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int, int]


def colour_fields(
    dtypes: tuple[str, ...], nodata: tuple[float | None, ...], colormap: Mapping[int, Colour]
) -> dict[str, Any]:
    """Fields that describe a scene of one paletted band as red, green and blue; the nodata value stays an index.

    Args:
        dtypes: Data type of the single band.
        nodata: Nodata value of the single band.
        colormap: Red, green, blue, alpha (0..255) of each index.

    Returns:
        The fields of `geoseg.raster.source.scene.Scene` that differ from those of the file.
    """
    names = ("red", "green", "blue")
    return {
        "bands": 3,
        "dtypes": dtypes * 3,
        "nodata": nodata * 3,
        "descriptions": names,
        "roles": names,
        "scales": (1.0,) * 3,
        "offsets": (0.0,) * 3,
        "palette": tuple(colormap.get(index, (0, 0, 0, 0)) for index in range(max(colormap) + 1)),
    }


def apply_palette(
    indices: NDArray[np.number], palette: tuple[Colour, ...]
) -> tuple[NDArray[np.number], NDArray[np.bool_]]:
    """Look up the colours of palette indices.

    Args:
        indices: Shape (H, W). An index beyond the palette has no colour.
        palette: Red, green, blue, alpha of each index.

    Returns:
        Red, green and blue in the dtype of ``indices``, shape (3, H, W), and True where there is a colour that is not
        fully transparent, shape (H, W).
    """
    table = np.array([*palette, (0, 0, 0, 0)], indices.dtype)
    # A table of 65,536 colours has a last index beyond uint16.
    places = np.minimum(indices.astype(np.int64), len(palette))
    red, green, blue, alpha = table[places].transpose(2, 0, 1)
    return np.stack([red, green, blue]), alpha != 0
