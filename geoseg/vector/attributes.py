"""Add up what the blocks know of one component."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from geoseg.vector.components import Components


def concatenate(parts: Sequence[Components]) -> Components:
    """Put tables of components below each other."""
    return Components(
        np.concatenate([np.empty(0, np.int64), *(part.first_pixel for part in parts)]),
        np.concatenate([np.empty(0, np.uint8), *(part.class_id for part in parts)]),
        np.concatenate([np.empty(0, np.int64), *(part.pixels for part in parts)]),
        np.concatenate([np.empty(0, np.int64), *(part.confidence_sum for part in parts)]),
        concatenate_areas(part.area_units for part in parts if len(part)),
    )


def concatenate_areas(parts: Iterable[NDArray[np.int64] | None]) -> NDArray[np.int64] | None:
    """Put sums of areas one behind the other.

    Raises:
        ValueError: If only some of the parts have any.
    """
    parts = list(parts)
    known = [part for part in parts if part is not None]
    if known and len(known) < len(parts):
        raise ValueError("Some parts of one scene have sums of areas and others have none.")
    return np.concatenate(known) if known else None


def merge_sums(components: Components, whole: NDArray[np.int64]) -> Components:
    """Add the parts of each component; integers, so the order of the parts does not matter.

    Args:
        components: Parts, in any order.
        whole: First pixel of the component that each part belongs to, shape (N,).

    Returns:
        The whole components, by first pixel.
    """
    first_pixel, part, row = np.unique(whole, return_index=True, return_inverse=True)
    pixels, total = np.zeros(len(first_pixel), np.int64), np.zeros(len(first_pixel), np.int64)
    np.add.at(pixels, row, components.pixels)
    np.add.at(total, row, components.confidence_sum)
    areas = None
    if components.area_units is not None:
        areas = np.zeros(len(first_pixel), np.int64)
        np.add.at(areas, row, components.area_units)
    return Components(first_pixel, components.class_id[part], pixels, total, areas)
