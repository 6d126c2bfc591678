"""Union-find (Rosenfeld and Pfaltz, 1966): the smaller of two roots becomes the root of both.

So a parent is never larger than its child, and the root of a set is its smallest member. All kernels that call `_root`
are in this file, see `geoseg.vector.labels.compiled`.
"""

import numpy as np
from numpy.typing import NDArray

from geoseg.vector.labels.compiled import compiled


def unite(names: NDArray[np.int64], pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Find the smallest name of the set to which each name belongs.

    Args:
        names: Names, ascending, shape (N,).
        pairs: Pairs of names that belong to one set, shape (P, 2); all of them are in ``names``.

    Returns:
        The smallest name of the set of each name, shape (N,).
    """
    parent = np.arange(len(names))
    _connect_pairs(np.searchsorted(names, pairs), parent)
    return names[parent]


@compiled
def connect_runs(
    offsets: NDArray[np.int64], starts: NDArray[np.int32], values: NDArray[np.uint8], width: int
) -> NDArray[np.int32]:
    """Connect runs of equal values that touch in consecutive rows; see `geoseg.vector.labels.components.Runs`.

    Returns:
        Parent of each run, int32 of shape (R,); a root is its own parent.
    """
    parent = np.arange(len(starts)).astype(np.int32)
    for r in range(1, len(offsets) - 1):
        above, below = offsets[r - 1], offsets[r]
        while above < offsets[r] and below < offsets[r + 1]:
            if values[above] == values[below]:
                one, other = _root(parent, above), _root(parent, below)
                parent[max(one, other)] = min(one, other)
            above_stop = starts[above + 1] if above + 1 < offsets[r] else width
            below_stop = starts[below + 1] if below + 1 < offsets[r + 1] else width
            above += above_stop <= below_stop
            below += below_stop <= above_stop
    return parent


@compiled
def _connect_pairs(pairs: NDArray[np.int64], parent: NDArray[np.int64]) -> None:
    """Set ``parent`` of each member to the root of its set."""
    for pair in range(len(pairs)):
        one, other = _root(parent, pairs[pair, 0]), _root(parent, pairs[pair, 1])
        parent[max(one, other)] = min(one, other)
    for member in range(len(parent)):
        parent[member] = parent[parent[member]]


@compiled
def _root(parent: NDArray[np.int64] | NDArray[np.int32], member: int) -> int:
    """Find the root of a member; shorten the path to it on the way."""
    while parent[member] != member:
        parent[member] = parent[parent[member]]
        member = int(parent[member])
    return member
