"""Count the components of a map before any is traced, and tell classes from a quantity that varies continuously."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoseg.grid.legend import NODATA_CLASS
from geoseg.vector.blocks import BlockLabels

MANY_COMPONENTS = 100_000
"""Up to so many are polygonized without a question, whatever they are."""
MANY_VALUES = 64
"""Values that a quantity takes at least."""
TINY_PX, TINY_PART = 2, 2 / 3
"""A quantity falls apart: of so few pixels are so many of its components. Of a landscape's classes a third are."""
NEAR, NEARER = 4, 1.25
"""A quantity has no jumps: neighbours are at most `NEAR` values apart `NEARER` times as often as by chance.

Of classes, which have no order, as often. Measured: confidences 1.5, photographs 5, smooth fields 7; classes 1.0.
"""


@dataclass(frozen=True, slots=True)
class Census:
    """What a map holds. Arrays are int64 of shape (256,)."""

    components: NDArray[np.int64]
    """Components of each class; one that spans blocks counts in each."""
    tiny: int
    """Those of at most `TINY_PX` pixels."""
    sides: NDArray[np.int64]
    """How often each class is beside another one in a row of pixels."""
    steps: NDArray[np.int64]
    """How often neighbours in a row are so many class ids apart."""

    @classmethod
    def empty(cls) -> "Census":
        """Of no pixel."""
        return cls(np.zeros(256, np.int64), 0, np.zeros(256, np.int64), np.zeros(256, np.int64))

    def __add__(self, other: "Census") -> "Census":
        return Census(
            self.components + other.components,
            self.tiny + other.tiny,
            self.sides + other.sides,
            self.steps + other.steps,
        )

    @property
    def values(self) -> int:
        """How many classes occur."""
        return int(np.count_nonzero(self.components))

    @property
    def count(self) -> int:
        """How many components there are."""
        return int(self.components.sum())

    @property
    def looks_continuous(self) -> bool:
        """Whether the map looks like a quantity, such as a probability or a height, rather than like classes.

        All of it must hold: a great many components, most of them tiny, of many values, and neighbours whose values are
        close to each other. Class ids are in the order of the values.
        """
        if self.count <= MANY_COMPONENTS or self.values < MANY_VALUES or self.tiny < TINY_PART * self.count:
            return False
        if not self.steps.any():
            return False
        # Of two values drawn from those at boundaries, given that they differ.
        share = self.sides / self.sides.sum()
        apart = [float((share[step:] * share[:-step]).sum()) for step in range(1, 256)]
        by_chance = sum(apart[:NEAR]) / sum(apart)
        return float(self.steps[1 : NEAR + 1].sum() / self.steps.sum()) >= NEARER * by_chance


def count_block(block: BlockLabels) -> Census:
    """Count the components of a block, and how far apart the classes of neighbours in its rows are."""
    components, labels = block.components, block.labels
    run = np.append(components.class_id, np.uint8(NODATA_CLASS))[labels.values]
    differ = (run[1:] != run[:-1]) & (run[1:] != NODATA_CLASS) & (run[:-1] != NODATA_CLASS)
    # The last run of a row is not beside the first one of the next.
    differ[labels.offsets[1:-1] - 1] = False
    one, other = run[:-1][differ], run[1:][differ]
    return Census(
        np.bincount(components.class_id, minlength=256),
        int(np.count_nonzero(components.pixels <= TINY_PX)),
        np.bincount(one, minlength=256) + np.bincount(other, minlength=256),
        np.bincount(np.maximum(one, other) - np.minimum(one, other), minlength=256),
    )
