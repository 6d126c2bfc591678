"""Look up the names of components, which are the scene indices of their first pixels."""

import numpy as np
from numpy.typing import NDArray


def is_among(names: NDArray[np.int64], known: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which names, of any shape, are in ``known``, which is ascending."""
    if not len(known):
        return np.zeros(names.shape, np.bool_)
    return np.equal(known[np.minimum(np.searchsorted(known, names), len(known) - 1)], names)


def rename(names: NDArray[np.int64], old: NDArray[np.int64], new: NDArray[np.int64]) -> NDArray[np.int64]:
    """Replace each name ``old[i]`` by ``new[i]`` and keep all others; ``old`` is ascending."""
    renamed, known = names.copy(), is_among(names, old)
    renamed[known] = new[np.searchsorted(old, names[known])]
    return renamed
